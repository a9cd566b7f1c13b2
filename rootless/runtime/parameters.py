"""``--sysctl``, ``--ulimit``, ``--device`` and the targets of mounts: checked texts become values.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest, Unsupported
from rootless.runtime.options import Rlimit
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

UNLIMITED = -1

# Kernel parameters that a namespace has of its own: everything else would reach the host (CVE-2022-0811).
_SYSCTL_NAMES = {
    "ipc": frozenset(
        f"kernel.{name}"
        for name in [
            "msgmax",
            "msgmnb",
            "msgmni",
            "sem",
            "shmall",
            "shmmax",
            "shmmni",
            "shm_rmid_forced",
        ]
    ),
    "uts": frozenset(("kernel.hostname", "kernel.domainname")),
}
_SYSCTL_PREFIXES = {"ipc": "fs.mqueue.", "network": "net.", "user": "user."}

_RLIMITS = frozenset(
    [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)

# Files of /proc that programs such as lxcfs replace; each says something, none controls anything.
_REPLACEABLE = frozenset(
    f"/proc/{name}"
    for name in [
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "net/dev",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
    ]
)


class Device(NamedTuple):
    """A device of the host, or a directory of them, and where it is inside."""

    source: str
    target: str


def parse_sysctl(text: str, own: Collection[str]) -> tuple[str, str]:
    """``NAME=VALUE`` of a namespace in ``own``, with dots in the name as for sysctl(8).

    Raises InvalidRequest for a malformed text, Unsupported for a parameter of the whole machine or of
    a namespace that the container shares.
    """
    name, equals, value = text.partition("=")
    dotted = _dotted(name.strip())
    if not equals or dotted is None or any(each in value for each in "\0\n"):
        raise InvalidRequest(f"{text!r} is not NAME=VALUE of a kernel parameter")
    for kind in ("ipc", "uts", "network", "user"):
        prefix = _SYSCTL_PREFIXES.get(kind)
        if dotted in _SYSCTL_NAMES.get(kind, ()) or (prefix and dotted.startswith(prefix)):
            if kind in own:
                return dotted, value
            raise Unsupported(
                f"kernel parameter {dotted} belongs to the {kind} namespace, which is the host's"
            )
    raise Unsupported(
        f"kernel parameter {dotted} is the whole machine's",
        hint="a container has its own net.*, fs.mqueue.*, user.* and System V IPC parameters",
    )


def _dotted(name: str) -> str | None:
    """sysctl(8)'s rule: the first separator says which one it is; the other is part of a name."""
    slash, dot = name.find("/"), name.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        name = name.translate({ord("/"): ".", ord("."): "/"})
    plain = name.replace("/", "").replace(".", "").replace("_", "").replace("-", "")
    if not plain.isascii() or not plain.isalnum() or not all(name.split(".")):
        return None
    return None if any(set(part) <= {"/"} for part in name.split(".")) else name


def parse_ulimit(text: str) -> Rlimit:
    """``NAME=SOFT[:HARD]``, -1 and ``unlimited`` for no limit.  Raises InvalidRequest."""
    name, _, values = text.partition("=")
    kind = name.lower().removeprefix("rlimit_")
    if kind not in _RLIMITS:
        raise InvalidRequest(
            f"unknown resource limit {name!r}", hint="one of " + " ".join(sorted(_RLIMITS))
        )
    soft_text, colon, hard_text = values.partition(":")
    soft = _limit(text, soft_text)
    hard = _limit(text, hard_text) if colon else soft
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise InvalidRequest(f"the soft limit in {text!r} is above the hard one")
    return Rlimit(f"RLIMIT_{kind.upper()}", soft, hard)


def parse_ulimits(
    texts: Iterable[str], current: Mapping[str, tuple[int, int]]
) -> tuple[Rlimit, ...]:
    """All of them, the last for each kind; ``host`` takes the caller's own.

    ``current`` holds the caller's soft and hard limits, which nobody without privileges can exceed:
    raises Unsupported for a request above them.
    """
    limits: dict[str, Rlimit] = {}
    for text in texts:
        if text == "host":
            limits |= {kind: Rlimit(kind, *pair) for kind, pair in current.items()}
            continue
        limit = parse_ulimit(text)
        ceiling = current.get(limit.type, (UNLIMITED, UNLIMITED))[1]
        if ceiling != UNLIMITED and (limit.hard == UNLIMITED or limit.hard > ceiling):
            raise Unsupported(
                f"{text!r} is above your own hard limit, which is {ceiling}",
                hint="an administrator can raise it: limits.conf, or"
                f" Limit{limit.type.removeprefix('RLIMIT_')}= of user@.service",
            )
        limits[limit.type] = limit
    return tuple(limits.values())


def _limit(text: str, number: str) -> int:
    if number in ("-1", "unlimited"):
        return UNLIMITED
    if not number.isascii() or not number.isdecimal() or len(number) > 19:
        raise InvalidRequest(f"{text!r} is not NAME=SOFT or NAME=SOFT:HARD")
    return int(number)


def parse_device(text: str) -> Device:
    """``SOURCE[:TARGET][:rwm]``.  Raises InvalidRequest, and Unsupported for rights that cannot be kept apart."""
    if "=" in text and not text.startswith("/"):
        raise Unsupported(f"device {text!r} is a CDI name, which are not supported")
    parts = text.split(":")
    rights = parts.pop() if len(parts) > 1 and parts[-1] and set(parts[-1]) <= set("rwm") else "rwm"
    source = parts[0]
    target = parts[1] if len(parts) > 1 else source
    if len(parts) > 2 or not source.startswith("/") or not target.startswith("/"):
        raise InvalidRequest(
            f"{text!r} is not a device", hint="SOURCE[:TARGET][:rwm], absolute paths"
        )
    if not {"r", "w"} <= set(rights):
        raise Unsupported(
            f"{text!r} cannot be enforced: only an administrator can give part of a device's rights",
            hint="leave the rights out; the device's own mode and owner still count",
        )
    return Device(source, clean_target(target))


def clean_target(target: str) -> str:
    """An absolute path inside the container without ``.``, ``..`` and double slashes.

    Raises InvalidRequest when it is relative, the root itself, or no path.
    """
    if not target.startswith("/") or "\0" in target:
        raise InvalidRequest(f"{target!r} is not an absolute path in the container")
    kept: list[str] = []
    for part in target.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    if not kept:
        raise InvalidRequest("a mount cannot replace the container's root")
    return "/" + "/".join(kept)


def check_target(target: str, source: str = "") -> str:
    """``clean_target`` for something that is mounted: not over /proc, nor over /sys unless from the host's.

    Raises InvalidRequest (CVE-2019-16884: an image's volume over /proc switched confinement off).
    """
    path = clean_target(target)
    top = path.split("/")[1]
    if top not in ("proc", "sys") or path in _REPLACEABLE:
        return path
    if top == "sys" and (source == "/sys" or source.startswith("/sys/")):
        return path
    raise InvalidRequest(
        f"a mount on {path} would hide what the kernel says there",
        hint="choose another path in the container",
    )
