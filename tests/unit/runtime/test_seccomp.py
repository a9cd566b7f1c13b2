"""The filter decides what the profile says, for every call and argument: run on a small BPF machine."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct

import pytest

from rootless.errors import InvalidRequest, Unsupported
from rootless.runtime import seccomp, seccomp_cache
from rootless.runtime.abis import ABIS
from rootless.runtime.seccomp import compile_filter

HERE = os.path.dirname(os.path.abspath(seccomp.__file__))
with open(f"{HERE}/syscalls.json", encoding="ascii") as file:
    NUMBERS = json.load(file)
with open(f"{HERE}/seccomp_default.json", encoding="ascii") as file:
    DEFAULT = json.load(file)
NARROW = frozenset(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
    ]
)
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x50000, 0x80000000
EPERM, EINVAL, ENOSYS, EAFNOSUPPORT = ERRNO | 1, ERRNO | 22, ERRNO | 38, ERRNO | 97
NEWUSER, TIOCSTI, TIOCLINUX = 0x10000000, 0x5412, 0x541C


def run(
    program: bytes, number: int, *arguments: int, abi: str = "x86_64", known: int = 64
) -> int | None:
    """What the kernel's interpreter would return; None where it reads beyond the first ``known`` bytes."""
    order = ">" if abi == "s390x" else "<"
    values = (*arguments, *(0,) * (6 - len(arguments)))
    memory = struct.pack(f"{order}IIQ6Q", number, ABIS[abi].audit, 0, *values)
    code = list(struct.iter_unpack(f"{order}HBBI", program))
    accumulator = at = 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20 if operand >= known:
                return None
            case 0x20:
                (accumulator,) = struct.unpack_from(f"{order}I", memory, operand)
            case 0x54:
                accumulator &= operand
            case 0x05:
                at += operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x25:
                at += if_true if accumulator > operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(operation)


def compiled(profile=DEFAULT, architecture="x86_64", capabilities=NARROW, terminal=True):
    return compile_filter(
        profile,
        architecture=architecture,
        capabilities=capabilities,
        kernel=(6, 1),
        numbers=NUMBERS,
        terminal=terminal,
    )


def decide(name: str, *arguments: int, abi: str = "x86_64", native: str | None = None, **options):
    program = compiled(architecture=native or abi, **options)
    return run(program, NUMBERS[abi][name], *arguments, abi=abi)


def profile(*rules, default="SCMP_ACT_ERRNO", **more):
    return {"defaultAction": default, "syscalls": list(rules), **more}


def rule(names, action="SCMP_ACT_ALLOW", **more):
    return {"names": names.split(), "action": action, **more}


def compare(index, op, value, second=0):
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}


@pytest.mark.parametrize(
    "name", ["unshare", "setns", "mount", "ptrace", "keyctl", "bpf", "kexec_load", "userfaultfd"]
)
def test_default_profile_refuses_what_reaches_for_the_kernel(name):
    expected = ALLOW if name == "ptrace" else EPERM
    assert decide(name) == expected


def test_default_profile_refuses_every_new_namespace():
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, NEWUSER, 0x20000000, 0x40000000):
        assert decide("clone", flag) == EPERM
        assert decide("clone", 1 << 40 | flag | 0x11) == EPERM
    assert decide("clone", 0x11) == ALLOW
    assert decide("clone", 0x3D0F00) == ALLOW  # a thread of glibc
    assert decide("clone3") == ENOSYS
    assert decide("clone", 0, NEWUSER, abi="s390x") == EPERM
    assert decide("clone", NEWUSER, 0, abi="s390x") == ALLOW  # that is its stack


def test_capabilities_open_exactly_their_calls():
    admin = NARROW | {"CAP_SYS_ADMIN"}
    for name in ("mount", "unshare", "setns", "clone3", "bpf"):
        assert decide(name, capabilities=admin) == ALLOW
    assert decide("clone", NEWUSER, capabilities=admin) == ALLOW
    for name in ("kexec_load", "reboot", "init_module", "settimeofday"):
        assert decide(name, capabilities=admin) == EPERM
    assert decide("chroot") == ALLOW
    assert decide("chroot", capabilities=NARROW - {"CAP_SYS_CHROOT"}) == EPERM


def test_upper_half_of_an_int_argument_hides_nothing():
    for family, answer in ((38, EAFNOSUPPORT), (40, EAFNOSUPPORT), (1, ALLOW), (2, ALLOW)):
        assert decide("socket", family) == answer
        assert decide("socket", 1 << 32 | family) == answer
    assert decide("socket", 16, 3, 9) == EINVAL
    assert decide("socket", 16, 3, 9 | 7 << 32) == EINVAL
    assert decide("socket", 16, 3, 0) == ALLOW
    assert decide("socketcall", 1, abi="x86", native="x86_64") == ENOSYS
    assert decide("socketcall", 3, abi="x86", native="x86_64") == ALLOW


def test_no_terminal_no_input_into_one():
    for request in (TIOCSTI, TIOCLINUX, 1 << 32 | TIOCSTI):
        assert decide("ioctl", 0, request, terminal=False) == EPERM
        assert decide("ioctl", 0, request, terminal=False, abi="x86", native="x86_64") == EPERM
        assert decide("ioctl", 0, request, terminal=True) == ALLOW
    assert decide("ioctl", 0, 0x5401, terminal=False) == ALLOW
    open_profile = profile(default="SCMP_ACT_ALLOW")
    assert decide("ioctl", 0, TIOCSTI, terminal=False, profile=open_profile) == EPERM


def test_personality_keeps_randomisation():
    for persona, answer in ((0, ALLOW), (8, ALLOW), (0xFFFFFFFF, ALLOW), (0x40000, EPERM)):
        assert decide("personality", persona) == answer


def test_calls_nobody_knows_yet_do_not_exist():
    program = compiled()
    for number in (470, 600, 0x3FFFFFFF, 0x40000000 + 470 + 600):
        assert run(program, number) == ENOSYS
    assert run(program, 0xFFFFFFFF) == EPERM


def test_other_ways_into_the_kernel_have_the_same_rules():
    for abi, native in (("x86", "x86_64"), ("x32", "x86_64"), ("arm", "aarch64")):
        assert decide("unshare", abi=abi, native=native) == EPERM
        assert decide("read", abi=abi, native=native) == ALLOW
        assert decide("clone", NEWUSER, abi=abi, native=native) == EPERM


def test_ways_the_profile_does_not_list_are_closed():
    program = compiled(profile(default="SCMP_ACT_ALLOW"))
    assert run(program, 1) == ALLOW
    assert run(program, 1, abi="x86") == KILL
    assert run(program, 0x40000001) == KILL


@pytest.mark.parametrize("abi", sorted(NUMBERS))
def test_every_number_is_decided_as_its_name(abi):
    native = next(name for name in ABIS if name == abi or abi in ABIS[name].secondary)
    program = compiled(architecture=native)
    allowed = set(DEFAULT["syscalls"][0]["names"])
    by_number = {number: name for name, number in NUMBERS[abi].items()}
    offset = 0x40000000 if abi == "x32" else 0
    for number in range(offset, offset + 470):
        name = by_number.get(number)
        assert (run(program, number, abi=abi) == ALLOW) == (
            name in allowed
            or name in ("chroot", "clone", "personality", "socket", "socketcall")  # arguments are 0
        ), name


@pytest.mark.parametrize("operator", ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
def test_comparisons_are_64_bits_wide(operator):
    choice = random.Random(operator)
    edges = [0, 1, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    meaning = {
        "EQ": lambda a, b, m: a == b,
        "NE": lambda a, b, m: a != b,
        "LT": lambda a, b, m: a < b,
        "LE": lambda a, b, m: a <= b,
        "GT": lambda a, b, m: a > b,
        "GE": lambda a, b, m: a >= b,
        "MASKED_EQ": lambda a, b, m: a & m == b & m,
    }[operator]
    for abi in ("x86_64", "s390x"):
        for _ in range(40):
            value, mask = choice.choice(edges), choice.choice(edges)
            words = (mask, value) if operator == "MASKED_EQ" else (value, 0)
            program = compiled(profile(rule("read", args=[compare(3, operator, *words)])), abi)
            for seen in (*edges, choice.getrandbits(64), value ^ 1, value ^ 1 << 32):
                expected = ALLOW if meaning(seen, value, mask) else EPERM
                number = NUMBERS[abi]["read"]
                assert run(program, number, 0, 0, 0, seen, abi=abi) == expected


@pytest.mark.parametrize("abi", ["x86_64", "aarch64"])
def test_what_is_allowed_by_its_number_alone_costs_nothing(abi):
    """The kernel keeps a bitmap of calls that a filter allows without a look at arguments (Linux 5.11).

    It reads the program as this does: number and architecture, and nothing beyond them.
    """
    program = compiled(architecture=abi)
    allowed = {
        name for name, number in NUMBERS[abi].items() if run(program, number, abi=abi) == ALLOW
    }
    proved = {
        name
        for name, number in NUMBERS[abi].items()
        if run(program, number, abi=abi, known=8) == ALLOW
    }
    assert {"read", "write", "openat", "futex", "mmap", "getpid"} <= proved
    assert allowed - proved <= {"ioctl", "socket", "clone", "personality"}


def test_strictest_matching_rule_counts():
    overlapping = profile(
        rule("ioctl", args=[compare(1, "EQ", 5)]),
        rule("ioctl", "SCMP_ACT_KILL_PROCESS", args=[compare(2, "EQ", 6)]),
        rule("read"),
        rule("read", "SCMP_ACT_ERRNO", args=[compare(0, "EQ", 7)], errnoRet=13),
        rule("write", "SCMP_ACT_ERRNO"),
        rule("write", args=[compare(0, "EQ", 7)]),
        rule("close"),
        rule("close", "SCMP_ACT_ERRNO"),
    )
    assert decide("ioctl", 0, 5, 6, profile=overlapping) == KILL
    assert decide("ioctl", 0, 5, 0, profile=overlapping) == ALLOW
    assert decide("read", 7, profile=overlapping) == ERRNO | 13
    assert decide("read", 8, profile=overlapping) == ALLOW
    assert decide("write", 7, profile=overlapping) == EPERM
    assert decide("close", profile=overlapping) == ALLOW


def test_conditions_of_the_format_are_resolved():
    conditional = profile(
        rule("read", includes={"minKernel": "6.1"}),
        rule("write", includes={"minKernel": "6.2"}),
        rule("open", includes={"caps": ["CAP_CHOWN", "CAP_SYS_BOOT"]}),
        rule("close", excludes={"caps": ["CAP_CHOWN"]}),
        rule("stat", includes={"arches": ["arm64"]}),
        rule("lstat", excludes={"arches": ["amd64"]}),
        {"name": "fstat", "action": "SCMP_ACT_ALLOW"},
    )
    answers = {
        name: decide(name, profile=conditional) == ALLOW
        for name in ("read", "write", "open", "close", "stat", "lstat", "fstat")
    }
    assert [name for name, allowed in answers.items() if allowed] == ["read", "fstat"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"defaultAction": "ALLOW"},
        {"defaultAction": ["SCMP_ACT_ALLOW"]},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "1"},
        {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {}},
        profile("read"),
        profile({"names": "read", "action": "SCMP_ACT_ALLOW"}),
        profile(rule("read", "SCMP_ACT_PERHAPS")),
        profile(rule("read", "SCMP_ACT_NOTIFY")),
        profile(rule("read", args=[compare(6, "EQ", 0)])),
        profile(rule("read", args=[compare(0, "ALMOST", 0)])),
        profile(rule("read", args=[compare(0, "EQ", 1 << 64)])),
        profile(rule("read", args=[compare(0, "EQ", -1)])),
        profile(rule("read", args=[compare(0, "NE", 1)] * 17)),
        profile(rule("read", includes={"minKernel": "six"})),
        profile(rule("read", includes=["CAP_CHOWN"])),
        profile(rule("read", excludes={"caps": "CAP_CHOWN"})),
        profile(*[rule("read", args=[compare(0, "EQ", n)]) for n in range(2000)]),
    ],
)
def test_malformed_profiles_are_refused(document):
    with pytest.raises((InvalidRequest, Unsupported)):
        compiled(document)


def test_cached_filter_is_used_and_a_damaged_one_is_not(tmp_path):
    def load(**changes):
        options = {"capabilities": NARROW, "terminal": False, "architecture": "x86_64"}
        return seccomp_cache.load_or_compile(
            str(tmp_path / "seccomp"), **(options | changes), kernel=(6, 1)
        )

    program = load()
    assert program == compiled(terminal=False)
    (entry,) = (tmp_path / "seccomp").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert load() == program
    entry.write_bytes(entry.read_bytes()[:-8])
    assert load() == program
    assert load(terminal=True) != program
    assert load(capabilities={"CAP_SYS_ADMIN"}) != program


def test_output_changes_only_with_the_revision_of_the_cache():
    digest = hashlib.sha256()
    for architecture in ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x"):
        digest.update(compiled(architecture=architecture, terminal=False))
        digest.update(compiled(architecture=architecture, capabilities={"CAP_SYS_ADMIN"}))
    # When this fails, the compiler or its table changed: raise REVISION, then write the new digest.
    assert (seccomp_cache.REVISION, digest.hexdigest()[:16]) == (1, "96e602879f007d3a")
