"""Users and groups come from the image's files by docker's rules; the files may be hostile."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidRequest, NotFound, RootlessError
from rootless.runtime.users import MAX_GROUPS, MAX_ID, User, find_group, find_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
web:x:1000:1001:Web,,,:/srv/web:/bin/sh
77:x:5000:5000::/home/seven:/bin/sh
nohome:x:1002:1002:::
"""
GROUP = """root:x:0:
daemon:x:1:
adm:x:4:web,daemon
video:x:44:web
web:x:1001:
88:x:6000:
dup:x:44:web
"""


@pytest.mark.parametrize(
    ("spec", "user"),
    [
        ("", User(0, 0, (), "/root", "root")),
        ("0", User(0, 0, (), "/root", "root")),
        ("root", User(0, 0, (), "/root", "root")),
        ("web", User(1000, 1001, (4, 44), "/srv/web", "web")),
        ("1000", User(1000, 1001, (4, 44), "/srv/web", "web")),
        ("web:video", User(1000, 44, (), "/srv/web", "web")),
        ("web:0", User(1000, 0, (), "/srv/web", "web")),
        ("1234", User(1234, 0)),
        ("1234:5678", User(1234, 5678)),
        ("1234:adm", User(1234, 4)),
        (":adm", User(0, 4, (), "/root", "root")),
        ("77", User(5000, 5000, (), "/home/seven", "77")),
        ("web:88", User(1000, 6000, (), "/srv/web", "web")),
        ("nohome", User(1002, 1002, (), "/", "nohome")),
        (str(MAX_ID), User(MAX_ID, 0)),
    ],
)
def test_specs_mean_what_docker_says(spec, user):
    assert find_user(spec, PASSWD, GROUP) == user


@pytest.mark.parametrize("spec", ["nobody", "web:nogroup", "1000:nogroup", "Root", " root", "+"])
def test_names_without_an_entry_are_not_found(spec):
    with pytest.raises(NotFound, match="in the container's /etc/"):
        find_user(spec, PASSWD, GROUP)


@pytest.mark.parametrize(
    "spec", ["a:b:c", "web:", ":", "-1", "2147483648", "9" * 99, "we\0b", "0:-5"]
)
def test_impossible_specs_are_refused(spec):
    with pytest.raises(InvalidRequest):
        find_user(spec, PASSWD, GROUP)


def test_malformed_lines_are_no_entries():
    passwd = "\n".join(
        (
            "short:x:1",
            ":x:0:0::/:",
            "unicode:x:\u0661:0::/:/bin/sh",  # an Arabic-Indic 1
            "negative:x:-1:0::/:",
            "huge:x:4294967296:0::/:",
            "nul\0:x:7:7::/:",
            "space:x: 8:8::/:",
            "evil:x:9:9:\x0bfake:x:0:0::/root:sh",
            "good:x:10:10::relative:/bin/sh:extra:fields",
        )
    )
    for name in ("short", "", "unicode", "negative", "huge", "nul", "space", "fake"):
        with pytest.raises((NotFound, InvalidRequest)):
            find_user(name + ":0" if name else "::", passwd, "")
    assert find_user("good", passwd, "").home == "/"
    assert find_user("root", PASSWD.replace("\n", "\r\n"), "").uid == 0


def test_groups_are_bounded_and_named_once():
    many = "".join(f"g{n}:x:{n}:web\n" for n in range(1, 200_000))
    start = time.perf_counter()
    user = find_user("web", PASSWD, many * 2)
    assert len(user.groups) == MAX_GROUPS == len(set(user.groups))
    assert time.perf_counter() - start < 2


def test_a_group_by_name_or_number():
    assert find_group("video", GROUP) == 44
    assert find_group("44", GROUP) == 44
    assert find_group("4711", GROUP) == 4711
    with pytest.raises(NotFound):
        find_group("missing", GROUP)


@given(spec=st.text(max_size=40), passwd=st.text(), group=st.text())
def test_any_text_gives_a_user_or_a_sentence(spec, passwd, group):
    try:
        user = find_user(spec, passwd, group)
    except RootlessError as error:
        assert "\n" not in error.message
    else:
        assert 0 <= user.uid <= MAX_ID
        assert 0 <= user.gid <= MAX_ID
        assert user.home.startswith("/")
