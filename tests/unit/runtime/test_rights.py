"""Options that loosen or tighten a container do exactly what they name, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidRequest, RootlessError, Unsupported
from rootless.runtime.generate import MASKED_PATHS, READ_ONLY_PATHS
from rootless.runtime.rights import (
    CAPABILITIES,
    PRIVILEGED,
    Rights,
    capability_set,
    effective_paths,
    parse_security_options,
)


def test_default_is_the_narrow_set_of_eleven():
    assert capability_set() == CAPABILITIES
    assert len(CAPABILITIES) == 11


def test_capabilities_are_added_and_dropped_by_any_spelling():
    added = set(capability_set(["net_raw", "CAP_SYS_PTRACE,mknod"])) - set(CAPABILITIES)
    assert added == {"CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_MKNOD"}
    assert set(CAPABILITIES) - set(capability_set((), ["chown", "Kill"])) == {
        "CAP_CHOWN",
        "CAP_KILL",
    }
    assert capability_set((), ["all"]) == ()
    assert capability_set(["NET_BIND_SERVICE"], ["ALL"]) == ("CAP_NET_BIND_SERVICE",)
    assert len(capability_set(["ALL"])) == 41
    assert len(capability_set(["ALL"], ["SYS_ADMIN"])) == 40
    assert len(capability_set(privileged=True)) == 41
    assert "CAP_SYS_ADMIN" not in capability_set((), ["SYS_ADMIN"], privileged=True)


def test_contradictions_and_typing_errors_are_refused():
    with pytest.raises(InvalidRequest, match="CAP_CHOWN is both"):
        capability_set(["chown"], ["CAP_CHOWN"])
    with pytest.raises(InvalidRequest) as caught:
        capability_set(["SYS_ADMN"])
    assert caught.value.hint == "CAP_SYS_ADMIN"


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("seccomp=unconfined", {"seccomp": "unconfined"}),
        ("seccomp:unconfined", {"seccomp": "unconfined"}),
        ("seccomp=/etc/a:b=c.json", {"seccomp": "/etc/a:b=c.json"}),
        ("seccomp=builtin", {}),
        ("no-new-privileges", {}),
        ("no-new-privileges:true", {}),
        ("no-new-privileges=false", {"no_new_privileges": False}),
        ("mask=/proc/a:/proc/b", {"mask": ("/proc/a", "/proc/b")}),
        ("unmask=ALL", {"unmask": ("ALL",)}),
        ("unmask=/proc/*:/sys/firmware", {"unmask": ("/proc/*", "/sys/firmware")}),
        ("systempaths=unconfined", {"unmask": ("ALL",)}),
        ("proc-opts=hidepid=2,gid=5", {"proc_options": ("hidepid=2", "gid=5")}),
        ("landlock=full", {"landlock": "full"}),
        ("writable-cgroups", {"cgroup_writable": True}),
        ("label=disable", {}),
        ("label:disable", {}),
        ("apparmor=unconfined", {}),
    ],
)
def test_words_change_what_they_name(text, changes):
    assert parse_security_options([text]) == Rights(**changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seccomp",
        "seccomp=",
        "no-new-privileges=perhaps",
        "mask=proc",
        "mask=ALL",
        "mask=/a/../b",
        "unmask=",
        "systempaths=confined",
        "proc-opts=rw",
        "landlock=perhaps",
        "label",
        "credentialspec=x",
        "no-new-privilege",
        "=x",
    ],
)
def test_words_that_nobody_knows_are_refused(text):
    with pytest.raises(InvalidRequest):
        parse_security_options([text])


@pytest.mark.parametrize("text", ["label=type:spc_t", "apparmor=docker-default", "label=level:s0"])
def test_what_cannot_be_enforced_is_refused(text):
    with pytest.raises(Unsupported, match="cannot be enforced"):
        parse_security_options([text])


def test_later_words_win_also_over_privileged():
    assert parse_security_options(["no-new-privileges"], privileged=True) == PRIVILEGED._replace(
        no_new_privileges=True
    )
    assert parse_security_options(["seccomp=unconfined", "seccomp=builtin"]) == Rights()


def test_masks_can_be_added_and_taken_away():
    masked, read_only = effective_paths(Rights(), MASKED_PATHS, READ_ONLY_PATHS)
    assert (masked, read_only) == (MASKED_PATHS, READ_ONLY_PATHS)
    assert effective_paths(PRIVILEGED, MASKED_PATHS, READ_ONLY_PATHS) == ((), ())
    some = Rights(unmask=("/proc/*",), mask=("/proc/kcore", "/extra"))
    masked, read_only = effective_paths(some, MASKED_PATHS, READ_ONLY_PATHS)
    assert masked == (
        *(path for path in MASKED_PATHS if not path.startswith("/proc/")),
        "/proc/kcore",
        "/extra",
    )
    assert read_only == ()


@given(st.text(max_size=60))
def test_any_word_is_understood_or_refused(text):
    try:
        parse_security_options([text])
        capability_set([text], [text])
    except RootlessError as error:
        assert "\n" not in error.message
