"""Which paths an ignore file leaves out."""

from __future__ import annotations

import time

import pytest

from rootless.dockerfile.ignore import Ignore, ignore_file_names, read_ignore_file
from rootless.errors import InvalidRequest


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("a", "a"),
        ("a", "a/b/c"),
        ("a/", "a/b"),
        ("./a", "a"),
        ("a/../b", "b"),
        ("a/b", "a/b"),
        ("*.o", "x.o"),
        ("*", "anything/at/all"),
        ("*/x", "a/x"),
        ("a?c", "abc"),
        ("a?c", "a☺c"),
        ("[a-c]x", "bx"),
        ("[^a-c]x", "dx"),
        ("[\\]]", "]"),
        ("a\\*b", "a*b"),
        ("**", "a/b"),
        ("**/x", "x"),
        ("**/x", "a/b/x"),
        ("**/x", "a/x/y"),
        ("**/*.o", "a/b/c.o"),
        ("**/*.o", "c.o"),
        ("a/**", "a/b/c"),
        ("a/**/z", "a/z"),
        ("a/**/z", "a/b/c/z"),
        ("a**/z", "a/b/z"),
        ("**.log", "a/b.log"),
        ("**/**/x", "a/x"),
        ("a.b", "a.b"),
        ("a(b|c)+$", "a(b|c)+$"),
        ("a^b", "a^b"),
        ("*a*b*c", "xaxbxc"),
    ],
)
def test_is_left_out(pattern, path):
    assert Ignore([pattern]).excludes(path)
    # The rule that follows exceptions must agree with the one expression for all patterns.
    assert Ignore([pattern, "!/no/such/thing"]).excludes(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("a", "b/a"),
        ("a", "ab"),
        ("a/b", "a"),
        ("*.o", "a/x.o"),
        ("a?c", "a/c"),
        ("a*c", "a/c"),
        ("[^a]b", "/b"),
        ("a.b", "axb"),
        ("a/**", "a"),
        ("**/x", "xx"),
        ("**/x", "ax"),
        ("**/.x", "a.x"),
        ("A", "a"),
        ("", "a"),
        (".", "a"),
        ("*", ""),
        ("*", "."),
        ("*a*b*c", "xaxbx"),
    ],
)
def test_is_kept(pattern, path):
    assert not Ignore([pattern]).excludes(path)
    assert not Ignore([pattern, "!/no/such/thing"]).excludes(path)


def test_the_last_pattern_that_matches_decides():
    ignore = Ignore(["*.md", "!README*.md", "README-secret.md"])
    assert [ignore.excludes(f"{name}.md") for name in ("a", "README", "README-secret")] == [
        True,
        False,
        True,
    ]


def test_what_lies_in_a_directory_follows_it():
    ignore = Ignore(["*", "!src", "src/*.o"])
    assert not ignore.excludes("src")
    assert not ignore.excludes("src/a/b.c")
    assert ignore.excludes("src/b.o")
    assert ignore.excludes("lib/src")


def test_an_exception_for_a_directory_comes_too_early_for_what_is_left_out_below_it():
    # BuildKit: the exception changed nothing for "a" itself, so it is not remembered for "a/b".
    assert Ignore(["a/b", "!a"]).excludes("a/b")


def test_the_order_of_questions_does_not_matter():
    rules = ["a", "!a/b", "a/b/c", "!**/d"]
    paths = ["a", "a/b", "a/b/c", "a/b/c/d", "a/x", "a/x/d"]
    expected = [Ignore(rules).excludes(path) for path in paths]
    assert expected == [True, False, True, False, True, False]
    ignore = Ignore(rules)
    assert [ignore.excludes(path) for path in reversed(paths)] == expected[::-1]


def test_nobody_need_look_below_a_directory_without_exceptions():
    ignore = Ignore(["node_modules", "a", "!a/b/c", "!*.md"])
    assert not ignore.prunes("kept")
    assert not ignore.prunes("a")
    assert not ignore.prunes("a/b")
    assert not ignore.prunes("node_modules")  # *.md begins with a wildcard
    assert Ignore(["node_modules", "!a"]).prunes("node_modules/x")


def test_an_ignore_file_has_comments_spaces_and_absolute_paths():
    text = "\ufeff# no\r\n\n  /a/b/  \n! /c\n #d\ne # f\n/\n"
    assert read_ignore_file(text) == ("a/b", "!c", "#d", "e # f", "/")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("!", 'illegal exclusion pattern: "!"'),
        ("[", "'[' has a malformed character class"),
        ("[]a]", "'[]a]' has a malformed character class"),
        ("[z-a]", "'[z-a]' has the empty range z-a"),
        ("a\\", "'a\\\\' ends in the middle of an escape"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused_with_its_line(line, message):
    with pytest.raises(InvalidRequest) as caught:
        read_ignore_file(f"# first\n{line}\n", name="x.dockerignore")
    assert caught.value.message == f"x.dockerignore:2:1: {message}"


def test_the_file_beside_the_dockerfile_comes_first():
    assert ignore_file_names("sub/Dockerfile")[0] == "sub/Dockerfile.dockerignore"
    assert ignore_file_names("Dockerfile")[-1] == ".dockerignore"


@pytest.mark.parametrize(
    "pattern", ["*a" * 100 + "b", "**/" * 100 + "b", "**/*a*/" * 20, "?*" * 100]
)
def test_no_pattern_takes_long(pattern):
    started = time.process_time()
    ignore = Ignore([pattern])
    ignore.excludes("a" * 255)
    ignore.excludes("/".join(["aaa"] * 200))
    assert time.process_time() - started < 1
