import pytest

from rootless.build.copies import target_path
from rootless.build.history import duration_text, quoted
from rootless.build.patterns import component_matcher, has_wildcards
from rootless.build.permissions import parse_mode
from rootless.build.remotes import file_name, git_checkout, is_web_address
from rootless.build.state import absolute, port_names
from rootless.errors import InvalidRequest


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.go", "a.go", True),
        ("*.go", "a.py", False),
        ("a?c", "abc", True),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[!a]x", "!x", True),  # Go knows only ^ for "none of"
        ("\\*", "*", True),
        ("\\*", "a", False),
        ("[\\]]", "]", True),
        ("a.b", "axb", False),
    ],
)
def test_wildcards_are_go_s(pattern, name, matches):
    assert bool(component_matcher(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize("pattern", ["[", "[a", "[]a]", "[-]", "a\\"])
def test_malformed_patterns_are_refused(pattern):
    with pytest.raises(InvalidRequest):
        component_matcher(pattern)


def test_escaped_characters_are_no_wildcards():
    assert has_wildcards("a*")
    assert not has_wildcards("a\\*")


@pytest.mark.parametrize(
    ("text", "mode", "directory", "after"),
    [
        ("755", 0o600, False, 0o755),
        ("04755", 0, False, 0o4755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("a+x", 0o644, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("go-rwx", 0o755, False, 0o700),
        ("g=u", 0o640, False, 0o660),
        ("u+s", 0o755, False, 0o4755),
        ("+t", 0o777, True, 0o1777),
        ("u=rw,g+w-x", 0o755, False, 0o665),
    ],
)
def test_modes_are_chmod_s(text, mode, directory, after):
    assert oct(parse_mode(text).of(mode, is_directory=directory)) == oct(after)


@pytest.mark.parametrize("text", ["", "999", "77777", "u~x", "rwx", "u+q"])
def test_other_modes_are_refused(text):
    with pytest.raises(InvalidRequest):
        parse_mode(text)


def test_git_addresses():
    checkout = git_checkout("https://example.com/a/b.git#v1.0:src/lib")
    assert checkout is not None
    assert (checkout.ref, checkout.directory) == ("v1.0", "src/lib")
    assert git_checkout("git@example.com:a/b") is not None
    assert git_checkout("ssh://git@example.com/a") is not None
    assert git_checkout("./a.git") is None
    assert git_checkout("https://example.com/a.tar.gz") is None
    queried = git_checkout("https://example.com/b.git?tag=v2&subdir=x&keep-git-dir=true")
    assert queried is not None
    assert (queried.ref, queried.directory, queried.keep_git_dir) == ("refs/tags/v2", "x", True)


def test_web_addresses():
    assert is_web_address("https://example.com/a")
    assert not is_web_address("https://example.com/a.git")
    assert file_name("https://example.com/d/a%20b.txt?x=/y") == "a b.txt"
    assert file_name("https://example.com/") == ""


def test_paths():
    assert absolute("../b", "/a/c") == "/a/b"
    assert absolute("//x", "") == "/x"
    assert target_path(".", "/w") == "/w/"
    assert target_path("x/", "/w") == "/w/x/"
    assert target_path("x", "/w") == "/w/x"
    assert target_path("/", "/w") == "/"


def test_ports():
    assert port_names("80") == ("80/tcp",)
    assert port_names("8000-8001/UDP") == ("8000/udp", "8001/udp")


def test_go_texts():
    assert quoted('a"\n\x01é') == '"a\\"\\n\\x01é"'
    assert duration_text(1_500_000_000) == "1.5s"
    assert duration_text(3_605_000_000_000) == "1h0m5s"
    assert duration_text(250_000_000) == "250ms"
