"""The emulated credentials change as credentials(7) and setresuid(2) say, and come back where they may."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from rootless.runtime import emulation_filter, seccomp, seccomp_cache
from rootless.runtime.abis import ABIS
from rootless.runtime.emulated_ids import KEEP, ROOT, Ids

ALICE = Ids(1000, 1000, 1000, 100, 100, 100, (100,))


@pytest.mark.parametrize(
    ("before", "call", "arguments", "after"),
    [
        (ROOT, "setuid", (33,), ROOT._replace(ruid=33, euid=33, suid=33)),
        (ROOT, "setresuid", (KEEP, 33, KEEP), ROOT._replace(euid=33)),
        (ROOT, "setreuid", (KEEP, 33), ROOT._replace(euid=33, suid=33)),
        (ROOT, "setreuid", (33, KEEP), ROOT._replace(ruid=33, suid=0)),
        (ROOT, "setgid", (5,), ROOT._replace(rgid=5, egid=5, sgid=5)),
        (ROOT._replace(euid=33), "setuid", (0,), ROOT),
        (ROOT._replace(euid=33), "setresuid", (0, 0, 0), ROOT),
        (ALICE, "setresuid", (KEEP, KEEP, KEEP), ALICE),
        (ALICE, "setgid", (100,), ALICE),
        # setpriv(1) gives its uid away first, and keeps CAP_SETGID for what follows.
        (
            Ids(33, 33, 33, keeps=True),
            "setresgid",
            (5, 5, 5),
            Ids(*[33] * 3, *[5] * 3, keeps=True),
        ),
    ],
)
def test_a_change_of_ids(before, call, arguments, after):
    assert before.set(call, arguments) == after


@pytest.mark.parametrize(
    ("call", "arguments"),
    [("setuid", (0,)), ("setresuid", (0, 0, 0)), ("setreuid", (KEEP, 0)), ("setgid", (0,))],
)
def test_what_was_given_up_does_not_come_back(call, arguments):
    with pytest.raises(PermissionError):
        ALICE.set(call, arguments)


def test_groups_need_privilege():
    assert ROOT.with_groups((4, 27)).groups == (4, 27)
    with pytest.raises(PermissionError):
        ALICE.with_groups((0,))


HERE = os.path.dirname(os.path.abspath(seccomp.__file__))


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64", "riscv64", "ppc64le", "s390x"])
def test_every_call_that_is_asked_about_has_its_name(architecture):
    with open(f"{HERE}/syscalls.json", encoding="ascii") as file:
        numbers = json.load(file)
    everything = ("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID")
    ask, answer, names = emulation_filter.compile_emulation(
        everything, architecture=architecture, numbers=numbers
    )
    audit = ABIS[architecture].audit
    assert names[audit, numbers[architecture]["fchownat"]] == "fchownat"
    assert set(names.values()) >= {"fchown", "setresuid", "setgroups", "getresgid", "getgroups"}
    assert ask != answer and len(ask) % 8 == 0


def test_a_capability_that_is_missing_leaves_its_calls_to_the_kernel():
    assert emulation_filter.calls_for(("CAP_KILL",)) == ()
    assert set(emulation_filter.calls_for(("CAP_CHOWN",))) == {
        *("chown", "lchown", "fchown", "fchownat")
    }


def test_calls_with_16_bit_ids_are_left_alone():
    with open(f"{HERE}/syscalls.json", encoding="ascii") as file:
        numbers = json.load(file)
    _, _, names = emulation_filter.compile_emulation(
        ("CAP_CHOWN",), architecture="x86_64", numbers=numbers
    )
    x86 = ABIS["x86"].audit
    assert names[x86, numbers["x86"]["chown32"]] == "chown"
    assert (x86, numbers["x86"]["chown"]) not in names


def test_the_revision_follows_the_filters():
    """Filters are kept by it: a change of what is made must be a new one."""
    with open(f"{HERE}/syscalls.json", encoding="ascii") as file:
        numbers = json.load(file)
    compiled = emulation_filter.compile_emulation(
        ("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"),
        architecture="x86_64",
        numbers=numbers,
        stat=True,
    )
    digest = hashlib.sha256(repr(compiled).encode()).hexdigest()[:16]
    assert (seccomp_cache.EMULATION_REVISION, digest) == (2, "e8266ee8ecc53470")
