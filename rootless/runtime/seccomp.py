"""A seccomp profile (docker's file format) becomes a filter for seccomp(2).  Pure.

What the format leaves open is decided so that a filter is never wider than libseccomp would make it:

- Several rules match a call: the strictest action counts, in the kernel's own order between filters.
- An unconditional rule beats conditional ones that are not stricter; of two, the first counts.
- A call that is newer than our table gets ENOSYS where the default is an error, as runc does, so that
  programs fall back to older calls instead of giving up.
- An architecture that the profile does not list gets its caller killed.
"""

from __future__ import annotations

from rootless.errors import InvalidRequest, Unsupported
from rootless.runtime.abis import ABIS
from rootless.runtime.bpf import MAX_INSTRUCTIONS, Comparison, Decision, Rule, Table, assemble
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
_ACTIONS = {  # strictest first, as the kernel ranks them (seccomp(2))
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_RANK = {action: rank for rank, action in enumerate(_ACTIONS.values())}
_OPERATORS = frozenset(("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"))
_EPERM, _ENOSYS = 1, 38
_X32_BIT = 0x40000000
_NEWEST = "file_setattr"  # the last common call that syscalls.json knows
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C


def compile_filter(
    profile: Mapping[str, Any],
    *,
    architecture: str,
    capabilities: Collection[str],
    kernel: tuple[int, int],
    numbers: Mapping[str, Mapping[str, int]],
    terminal: bool = True,
) -> bytes:
    """The filter as an array of struct sock_filter; the same input gives the same bytes.

    ``capabilities`` are those of the bounding set (``CAP_..``), ``numbers`` the content of syscalls.json;
    without a ``terminal`` the two ioctls that push input into a terminal are refused whatever the profile
    says.  Raises InvalidRequest for a malformed profile, Unsupported for one that cannot work here.
    """
    if architecture not in ABIS:
        raise Unsupported(
            f"no system call table for {architecture}", hint="--security-opt seccomp=unconfined"
        )
    default = _action(profile, "defaultAction", "defaultErrnoRet", "profile")
    rules = list(_rules(profile, architecture, capabilities, kernel))
    if not terminal:
        rules.extend((("ioctl",), rule) for rule in _NO_TERMINAL_INPUT)
    names = _decisions(rules, default)
    abis = _abis(profile, architecture)
    tables = [
        _table(name, names, default, x32="x32" in abis, numbers=numbers)
        for name in abis
        if name != "x32"
    ]
    program = assemble(tables, KILL_PROCESS, big_endian=architecture == "s390x")
    if len(program) // 8 > MAX_INSTRUCTIONS:
        raise Unsupported(
            f"the seccomp profile needs {len(program) // 8} instructions, the kernel takes {MAX_INSTRUCTIONS}"
        )
    return program


def resolved(
    profile: Mapping[str, Any],
    *,
    architecture: str,
    capabilities: Collection[str],
    kernel: tuple[int, int],
) -> dict[str, Any]:
    """The profile as the runtime-spec's ``linux.seccomp``: the rules that hold, without their conditions.

    Raises as ``compile_filter`` does.
    """
    _action(profile, "defaultAction", "defaultErrnoRet", "profile")
    document: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": [ABIS[abi].token for abi in _abis(profile, architecture)],
        "syscalls": [],
    }
    if profile.get("defaultErrnoRet") is not None:
        document["defaultErrnoRet"] = profile["defaultErrnoRet"]
    for index, entry in enumerate(_list(profile, "syscalls", "profile")):
        where = f"syscalls[{index}]"
        if not _holds(entry, where, architecture, capabilities, kernel):
            continue
        rule = {"names": _names(entry, "names", where), "action": entry["action"]}
        for key in ("errnoRet", "args"):
            if entry.get(key):
                rule[key] = entry[key]
        document["syscalls"].append(rule)
    return document


# The kernel looks at the lower 32 bits of these arguments only, so the filter must, too (CVE-2019-10063).
_NO_TERMINAL_INPUT = tuple(
    Rule((Comparison(1, "MASKED_EQ", request, 0xFFFFFFFF),), ERRNO | _EPERM)
    for request in (_TIOCSTI, _TIOCLINUX)
)


def _abis(profile: Mapping[str, Any], architecture: str) -> list[str]:
    """The ABIs to let in: ``archMap`` (docker) or ``architectures`` (OCI), else only the native one."""
    tokens = _names(profile, "architectures", "profile")
    for index, entry in enumerate(_list(profile, "archMap", "profile")):
        where = f"archMap[{index}]"
        if not isinstance(entry, dict):
            raise InvalidRequest(f"seccomp profile: {where} is not an object")
        if entry.get("architecture") == ABIS[architecture].token:
            tokens = _names(entry, "subArchitectures", where) + tokens
    return [
        architecture,
        *(name for name in ABIS[architecture].secondary if ABIS[name].token in tokens),
    ]


def _table(
    abi: str,
    names: Mapping[str, Decision],
    default: int,
    *,
    x32: bool,
    numbers: Mapping[str, Mapping[str, int]],
) -> Table:
    known = dict(numbers[abi])
    newest = known[_NEWEST] + 1
    beyond = ERRNO | _ENOSYS if default & 0xFFFF0000 == ERRNO else default
    background = [(0, default), (newest, beyond)]
    decisions = {number: names[name] for name, number in known.items() if name in names}
    if abi == "x86_64":
        # x32 calls come with the AUDIT_ARCH of x86_64 and bit 30: without x32 they would slip through
        # a profile that allows by default.
        if x32:
            for name, number in numbers["x32"].items():
                if name in names:
                    decisions[number] = names[name]
            background += [(_X32_BIT, default), (_X32_BIT + newest, beyond)]
        else:
            background.append((_X32_BIT, KILL_PROCESS))
        background.append((0xFFFFFFFF, default))  # a call that a tracer skipped
    return Table(ABIS[abi].audit, decisions, tuple(background))


def _decisions(rules: Iterable[tuple[tuple[str, ...], Rule]], default: int) -> dict[str, Decision]:
    """What happens to each call that some rule names."""
    always: dict[str, int] = {}
    sometimes: dict[str, list[Rule]] = {}
    for names, rule in rules:
        for name in names:
            if rule.comparisons:
                sometimes.setdefault(name, []).append(rule)
            else:
                always.setdefault(name, rule.action)
    decisions = {name: Decision((), action) for name, action in always.items()}
    for name, conditional in sometimes.items():
        action = always.get(name)
        kept = [
            each for each in conditional if action is None or _rank(each.action) < _rank(action)
        ]
        kept.sort(key=lambda each: _rank(each.action))
        decisions[name] = Decision(tuple(kept), default if action is None else action)
    return decisions


def _rank(action: int) -> int:
    return _RANK[action & 0xFFFF0000]


def _rules(
    profile: Mapping[str, Any],
    architecture: str,
    capabilities: Collection[str],
    kernel: tuple[int, int],
) -> Iterable[tuple[tuple[str, ...], Rule]]:
    """The rules that hold for this container, with ``includes`` and ``excludes`` resolved."""
    for index, entry in enumerate(_list(profile, "syscalls", "profile")):
        where = f"syscalls[{index}]"
        if not isinstance(entry, dict):
            raise InvalidRequest(f"seccomp profile: {where} is not an object")
        if not _holds(entry, where, architecture, capabilities, kernel):
            continue
        names = _names(entry, "names", where)
        if entry.get("name"):  # the oldest form of the format
            names.append(str(entry["name"]))
        comparisons = tuple(
            _comparison(each, f"{where}.args[{position}]")
            for position, each in enumerate(_list(entry, "args", where))
        )
        if len(comparisons) > 16:  # a jump of the filter reaches 255 instructions
            raise Unsupported(f"seccomp profile: {where} compares more than 16 arguments")
        yield tuple(names), Rule(comparisons, _action(entry, "action", "errnoRet", where))


def _holds(
    entry: Mapping[str, Any],
    where: str,
    architecture: str,
    capabilities: Collection[str],
    kernel: tuple[int, int],
) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if not isinstance(includes, dict) or not isinstance(excludes, dict):
        raise InvalidRequest(f"seccomp profile: {where} has conditions that are not objects")
    return (
        all(each in capabilities for each in _names(includes, "caps", where))
        and _for_architecture(_names(includes, "arches", where), architecture, empty=True)
        and kernel >= _version(includes.get("minKernel"), where, (0, 0))
        and not any(each in capabilities for each in _names(excludes, "caps", where))
        and not _for_architecture(_names(excludes, "arches", where), architecture, empty=False)
        and kernel < _version(excludes.get("minKernel"), where, (1 << 31, 0))
    )


def _for_architecture(arches: Collection[str], architecture: str, *, empty: bool) -> bool:
    return ABIS[architecture].profile_name in arches if arches else empty


def _action(entry: Mapping[str, Any], key: str, errno_key: str, where: str) -> int:
    name = entry.get(key)
    if name == "SCMP_ACT_NOTIFY":
        raise Unsupported(f"seccomp profile: {where}.{key} wants a supervising program (NOTIFY)")
    if not isinstance(name, str) or name not in _ACTIONS:
        raise InvalidRequest(
            f"seccomp profile: {where}.{key} is {name!r}", hint="one of " + " ".join(_ACTIONS)
        )
    action = _ACTIONS[name]
    if name not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return action
    errno = entry.get(errno_key)
    if errno is None:
        errno = _EPERM
    if not isinstance(errno, int) or not 0 <= errno <= 4095:
        raise InvalidRequest(f"seccomp profile: {where}.{errno_key} is {errno!r}")
    return action | errno


def _comparison(entry: Any, where: str) -> Comparison:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"seccomp profile: {where} is not an object")
    operator = str(entry.get("op")).removeprefix("SCMP_CMP_")
    if operator not in _OPERATORS:
        raise InvalidRequest(f"seccomp profile: {where}.op is {entry.get('op')!r}")
    values = [entry.get(key) or 0 for key in ("index", "value", "valueTwo")]
    if not all(type(each) is int and 0 <= each < 1 << 64 for each in values) or values[0] > 5:
        raise InvalidRequest(f"seccomp profile: {where} has no such argument or value")
    index, value, second = values
    if operator == "MASKED_EQ":  # the OCI document holds the mask first
        return Comparison(index, operator, second, value)
    return Comparison(index, operator, value)


def _names(entry: Any, key: str, where: str) -> list[str]:
    return [str(each) for each in _list(entry, key, where)]


def _list(entry: Any, key: str, where: str) -> list[Any]:
    value = entry.get(key) if isinstance(entry, dict) else None
    if value is None:
        value = []
    if not isinstance(value, list):
        raise InvalidRequest(f"seccomp profile: {where}.{key} is not a list")
    return value


def _version(text: Any, where: str, otherwise: tuple[int, int]) -> tuple[int, int]:
    if not text:
        return otherwise
    major, _, minor = str(text).partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise InvalidRequest(f"seccomp profile: {where}.minKernel is {text!r}")
    return int(major), int(minor)
