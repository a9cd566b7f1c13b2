"""The filter that asks, or answers itself, where a container has only one id.  Pure.

It stands beside the container's own filter, and of two the kernel takes the stricter answer: what the
profile refuses stays refused.
"""

from __future__ import annotations

from rootless.runtime.abis import ABIS
from rootless.runtime.bpf import Comparison, Decision, Rule, Table, assemble
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
_SUCCEED = 0x00050000  # SECCOMP_RET_ERRNO with 0
_ALLOW = 0x7FFF0000
_PR_SET_KEEPCAPS = 8

_OWNERS = ("chown", "lchown", "fchown", "fchownat")
_SET_UID = ("setuid", "setreuid", "setresuid")
_SET_GID = ("setgid", "setregid", "setresgid", "setgroups")
_STAT = ("stat", "lstat", "fstat", "newfstatat", "statx")
_O_CREAT = 0o100
_CREATE = {"open": 1, "openat": 2, "creat": -1, "mkdir": -1, "mkdirat": -1}  # where the flags are
_GET = (
    *("getuid", "geteuid", "getresuid"),
    *("getgid", "getegid", "getresgid", "getgroups"),
)
_KEEPS_CAPABILITIES = Decision(
    (Rule((Comparison(0, "MASKED_EQ", _PR_SET_KEEPCAPS, 0xFFFFFFFF),), NOTIFY),), _ALLOW
)


def calls_for(capabilities: Collection[str]) -> tuple[str, ...]:
    """What is answered for a container with these capabilities (``CAP_..``): what they would allow."""
    names: tuple[str, ...] = ()
    if "CAP_CHOWN" in capabilities:
        names += _OWNERS
    if "CAP_SETUID" in capabilities:
        names += _SET_UID
    if "CAP_SETGID" in capabilities:
        names += _SET_GID
    return names


def compile_emulation(
    capabilities: Collection[str],
    *,
    architecture: str,
    numbers: Mapping[str, Mapping[str, int]],
    stat: bool = False,
) -> tuple[bytes, bytes, dict[tuple[int, int], str]]:
    """The filter that asks, the one that says yes by itself, and the name of (AUDIT_ARCH, number).

    With ``stat`` the first also asks who owns a file, when one is made, and always who the process is, but only for programs of the machine's own
    architecture: others have another struct stat.

    The second records nothing and does not change what getuid(2) says, so that call is left alone.
    ``numbers`` is the content of syscalls.json.
    """
    changing = calls_for(capabilities)
    asking = (*changing, *(_GET if stat or "setuid" in changing or "setgid" in changing else ()))
    names: dict[tuple[int, int], str] = {}
    programs = []
    for calls, action in ((asking, NOTIFY), (changing, _SUCCEED)):
        tables = []
        for abi in (architecture, *ABIS[architecture].secondary):
            if abi == "x32":  # shares the AUDIT_ARCH of x86_64, and the default profile kills it
                continue
            known = numbers[abi]
            found = {number: name for name in calls for number in _numbers_of(name, known)}
            if stat and action == NOTIFY and abi == architecture:
                found |= {known[name]: name for name in (*_STAT, *_CREATE) if name in known}
            names |= {(ABIS[abi].audit, number): name for number, name in found.items()}
            decisions = {number: _decision(name, action) for number, name in found.items()}
            if action == NOTIFY and calls != changing:
                names[ABIS[abi].audit, known["prctl"]] = "prctl"
                decisions[known["prctl"]] = _KEEPS_CAPABILITIES
            tables.append(Table(ABIS[abi].audit, decisions, ((0, _ALLOW),)))
        programs.append(assemble(tables, _ALLOW, big_endian=architecture == "s390x"))
    return programs[0], programs[1], names


def _decision(name: str, action: int) -> Decision:
    flags = _CREATE.get(name, -1)
    if flags < 0:
        return Decision((), action)
    return Decision((Rule((Comparison(flags, "MASKED_EQ", _O_CREAT, _O_CREAT),), action),), _ALLOW)


def _numbers_of(name: str, known: Mapping[str, int]) -> list[int]:
    """Where the plain name is a call with 16-bit ids (x86, arm), the one with 32 counts."""
    wide = known.get(f"{name}32")
    if wide is not None:
        return [wide]
    return [known[name]] if name in known else []
