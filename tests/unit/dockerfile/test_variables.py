"""Variables, quotes and escapes in words."""

from __future__ import annotations

import time

import pytest

from rootless.dockerfile.variables import (
    Rules,
    expand,
    expand_document,
    expand_words,
    read,
)
from rootless.errors import InvalidRequest

VALUES = {"A": "alpha", "EMPTY": "", "FILE": "archive.tar.gz", "PATHS": "/usr/bin:/bin", "ONE": "1"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("plain", "plain"),
        ("$A", "alpha"),
        ("${A}", "alpha"),
        ("$A-$ONE", "alpha-1"),
        ("$Ab", ""),
        ("${A}b", "alphab"),
        ("a$", "a$"),
        ("$$", ""),
        ("$1x", "x"),
        ("$", "$"),
        ("$ x", "$ x"),
        ("x$NONE.y", "x.y"),
        ("${A:-b}", "alpha"),
        ("${NONE:-b}", "b"),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY-b}", ""),
        ("${NONE-b}", "b"),
        ("${A:+b}", "b"),
        ("${EMPTY:+b}", ""),
        ("${EMPTY+b}", "b"),
        ("${NONE+b}", ""),
        ("${A?no}", "alpha"),
        ("${EMPTY?no}", ""),
        ("${NONE:-$A}", "alpha"),
        ("${NONE:-${EMPTY:-${A}}}", "alpha"),
        ("${NONE:-a b}", "a b"),
        ("${NONE:-'}'}", "}"),
        ("${NONE:-\\}}", "}"),
        ("${FILE#*.}", "tar.gz"),
        ("${FILE##*.}", "gz"),
        ("${FILE%.*}", "archive.tar"),
        ("${FILE%%.*}", "archive"),
        ("${FILE#archive}", ".tar.gz"),
        ("${FILE#x}", "archive.tar.gz"),
        ("${FILE%?z}", "archive.tar."),
        ("${NONE#*.}", ""),
        ("${FILE#${A%lpha}}", "rchive.tar.gz"),
        ("${FILE/./-}", "archive-tar.gz"),
        ("${FILE//./-}", "archive-tar-gz"),
        ("${FILE/t*./}", "archive.gz"),
        ("${FILE//[/}", "archive.tar.gz"),
        ("${PATHS/\\/usr/}", "/bin:/bin"),
        ("${PATHS//bin/sbin}", "/usr/sbin:/sbin"),
        ("${A/a/$ONE}", "1lpha"),
        ("${A//?/x}", "xxxxx"),
        ("${A//*/x}", "x"),
    ],
)
def test_a_word_expands_to(word, expected):
    assert expand(word, VALUES) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("'$A'", "$A"),
        ('"$A"', "alpha"),
        ("\\$A", "$A"),
        ('"\\$A"', "$A"),
        ('"a\\b"', "a\\b"),
        ('"a\\"b"', 'a"b'),
        ("a\\b", "ab"),
        ("a\\\\b", "a\\b"),
        ("a\\", "a"),
        ("'a'\"b\"c", "abc"),
        ("\"'a'\"", "'a'"),
        ("'\"a\"'", '"a"'),
        ("a\\ b", "a b"),
        ("''", ""),
    ],
)
def test_quotes_and_escapes_disappear_from(word, expected):
    assert expand(word, VALUES) == expected


def test_another_escape_character_makes_backslashes_ordinary():
    assert expand("c:\\$A`$A", VALUES, escape="`") == "c:\\alpha$A"


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("${A", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${:x}", "bad substitution"),
        ("${{A}}", "bad substitution"),
        ("${A:-b", "missing '}'"),
        ("${A:b}", "unsupported modifier (:b) in substitution"),
        ("${A=b}", "unsupported modifier (=) in substitution"),
        ("${A:#b}", "unsupported modifier (:#) in substitution"),
        ("${A/b}", "missing '/' in ${}"),
        ("${A/b/c", "missing '}'"),
        ("${A#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
        ("'A", "looking for matching single-quote"),
        ('"A', "looking for matching double-quote"),
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${NONE:?give one, $A}", "NONE: give one, alpha"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
    ],
)
def test_nonsense_is_refused(word, complaint):
    with pytest.raises(InvalidRequest) as caught:
        expand(word, VALUES)
    assert complaint in caught.value.message


def test_a_value_is_not_expanded_again():
    assert expand("$X", {"X": "$Y '", "Y": "no"}) == "$Y '"


def test_a_variable_can_hold_several_words_unless_it_is_quoted():
    values = {"PORTS": "80  443"}
    assert expand_words("$PORTS", values) == ("80", "443")
    assert expand_words('"$PORTS"', values) == ("80  443",)
    assert expand_words("1$PORTS 2", values) == ("180", "443", "2")
    assert expand_words(" $NONE ", values) == ()
    assert expand_words("8${NONE:-0}", values) == ("80",)


def test_quotes_mean_nothing_in_a_document():
    assert expand_document('it\'s "$A" \\$A\n', VALUES) == 'it\'s "alpha" $A\n'


def test_what_was_asked_for_is_known():
    expansion = read("$A ${NONE:-$OTHER} $A ${EMPTY}", VALUES, rules=Rules())
    assert expansion.used == ("A", "EMPTY")
    assert expansion.unset == ("OTHER", "NONE")


def test_names_may_be_written_in_any_script():
    assert expand("$größe/${größe}", {"größe": "1"}) == "1/1"


@pytest.mark.parametrize(
    "word",
    [
        "${A:-" * 100_000,
        "$" * 100_000,
        "'" * 99_999,
        '"' * 99_999,
        "\\" * 99_999,
        "<" * 100_000,
        "${X#" + "*a" * 20_000 + "}",
        "${X%%" + "a*" * 20_000 + "b}",
        "${X//" + "a*" * 50 + "c/}",
        "${X//a*c/}",
        "${X//*/}",
        "$A" * 50_000,
    ],
)
def test_no_word_takes_long(word):
    started = time.process_time()
    try:
        expand(word, {"X": "a" * 20_000, "A": "b"})
    except InvalidRequest:
        pass
    assert time.process_time() - started < 2


def test_patterns_do_not_reach_across_lines():
    assert expand("${X#*b}", {"X": "a\nb"}) == "a\nb"
    assert expand("${X/a*c/-}", {"X": "a\nab c"}) == "a\n-"
    assert expand("${X//a*/-}", {"X": "ab\nab\nc"}) == "-\n-\nc"
