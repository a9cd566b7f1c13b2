"""``--cap-add``, ``--cap-drop``, ``--security-opt`` and ``--privileged`` as values.  Pure.

Every word is understood or refused: what was asked to be enforced must not be dropped in silence.
"""

from __future__ import annotations

from rootless.errors import InvalidRequest, Unsupported
from rootless.runtime.options import CAPABILITIES
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LANDLOCK = ("off", "execute", "full")


class Rights(NamedTuple):
    """What the options leave a container; the defaults are those of a container without any.

    ``unmask`` and ``mask`` hold absolute paths, the former also shell patterns and ``ALL``; ``landlock`` is
    None where nobody chose.
    """

    seccomp: str = "default"  # or unconfined, or the file of a profile
    no_new_privileges: bool = True
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    landlock: str | None = None
    proc_options: tuple[str, ...] = ()
    cgroup_writable: bool = False


PRIVILEGED = Rights(
    seccomp="unconfined",
    no_new_privileges=False,
    unmask=("ALL",),
    landlock="off",
    cgroup_writable=True,
)


def capability_set(
    add: Iterable[str] = (), drop: Iterable[str] = (), *, privileged: bool = False
) -> tuple[str, ...]:
    """The default capabilities with some added and dropped, in the order of their numbers.

    Names come with or without ``CAP_``, in any case, several in one text with commas; ``ALL`` is every one.
    Raises InvalidRequest for an unknown name and for one that is both added and dropped.
    """
    added, dropped = _capabilities(add), _capabilities(drop)
    both = added & dropped
    if both:
        raise InvalidRequest(f"{', '.join(sorted(both))} is both added and dropped")
    every = _every_capability()
    kept = frozenset(every if privileged or "ALL" in added else CAPABILITIES)
    if "ALL" in dropped:
        kept = frozenset()
    kept = (kept - dropped) | added
    return tuple(name for name in every if name in kept)


def parse_security_options(texts: Iterable[str], *, privileged: bool = False) -> Rights:
    """``--security-opt`` words, later ones winning; ``privileged`` is where they start from.

    Raises InvalidRequest for a word that nobody knows, Unsupported for one that cannot be enforced here.
    """
    rights = PRIVILEGED if privileged else Rights()
    for text in texts:
        rights = _with(rights, text)
    return rights


def effective_paths(
    rights: Rights, masked: tuple[str, ...], read_only: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The default masked and read-only paths, as ``mask=`` and ``unmask=`` change them."""
    from fnmatch import fnmatchcase

    def keep(path: str) -> bool:
        return not any(each == "ALL" or fnmatchcase(path, each) for each in rights.unmask)

    kept = tuple(filter(keep, masked))
    return kept + tuple(each for each in rights.mask if each not in kept), tuple(
        filter(keep, read_only)
    )


def _with(rights: Rights, text: str) -> Rights:
    # docker still takes the colon that it used before the equals sign.
    separator = (
        "=" if "=" in text and (":" not in text or text.index("=") < text.index(":")) else ":"
    )
    key, _, value = text.partition(separator)
    match key:
        case "no-new-privileges":
            return rights._replace(no_new_privileges=_boolean(text, value))
        case "writable-cgroups":
            return rights._replace(cgroup_writable=_boolean(text, value))
        case "label" | "apparmor":
            return _without_labels(rights, text, key, value)
    if not value:
        raise _unknown(text) if key not in _KEYS else InvalidRequest(f"{text!r} needs a value")
    match key:
        case "seccomp":
            return rights._replace(seccomp="default" if value == "builtin" else value)
        case "mask":
            return rights._replace(mask=rights.mask + _paths(text, value))
        case "unmask":
            return rights._replace(unmask=rights.unmask + _paths(text, value))
        case "systempaths" if value == "unconfined":
            return rights._replace(unmask=("ALL",))
        case "proc-opts":
            return rights._replace(proc_options=_proc_options(text, value))
        case "landlock" if value in LANDLOCK:
            return rights._replace(landlock=value)
        case "landlock":
            raise InvalidRequest(
                f"unknown profile in {text!r}", hint="one of " + " ".join(LANDLOCK)
            )
    raise _unknown(text)


_KEYS = [
    "apparmor",
    "label",
    "landlock",
    "mask",
    "no-new-privileges",
    "proc-opts",
    "seccomp",
    "systempaths",
    "unmask",
    "writable-cgroups",
]
# What procfs takes from inside a user namespace (proc(5)).
_PROC_OPTIONS = ("hidepid", "gid", "subset")


def _unknown(text: str) -> InvalidRequest:
    return InvalidRequest(f"unknown security option {text!r}", hint="one of " + " ".join(_KEYS))


def _without_labels(rights: Rights, text: str, key: str, value: str) -> Rights:
    """Nobody here labels processes, so that none is labelled is easily promised - and nothing else."""
    if value in ("disable", "unconfined"):
        return rights
    if not value:
        raise InvalidRequest(f"{text!r} needs a value")
    system = "SELinux" if key == "label" else "AppArmor"
    raise Unsupported(
        f"{text!r} cannot be enforced: containers are started without {system} labels",
        hint=f"--security-opt {key}={'disable' if key == 'label' else 'unconfined'}",
    )


def _boolean(text: str, value: str) -> bool:
    if value in ("", "true", "1"):
        return True
    if value in ("false", "0"):
        return False
    raise InvalidRequest(f"{text!r} is neither true nor false")


def _paths(text: str, value: str) -> tuple[str, ...]:
    paths = tuple(value.split(":"))
    for path in paths:
        if not (path.startswith("/") or (path == "ALL" and text.startswith("unmask"))):
            raise InvalidRequest(f"{path!r} in {text!r} is not an absolute path")
        if ".." in path.split("/") or "\0" in path:
            raise InvalidRequest(f"{path!r} in {text!r} is not a plain path")
    return paths


def _proc_options(text: str, value: str) -> tuple[str, ...]:
    options = tuple(value.split(","))
    for option in options:
        if option.partition("=")[0] not in _PROC_OPTIONS:
            raise InvalidRequest(
                f"unknown option {option!r} of procfs in {text!r}",
                hint="one of " + " ".join(_PROC_OPTIONS),
            )
    return options


def _capabilities(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(_capability(name) for text in texts for name in text.split(","))


def _capability(text: str) -> str:
    name = text.strip().upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    every = _every_capability()
    if name not in every:
        from difflib import get_close_matches

        near = get_close_matches(name, every, n=1)
        raise InvalidRequest(f"unknown capability {text!r}", hint=near[0] if near else None)
    return name


def _every_capability() -> tuple[str, ...]:
    from rootless.kernel.capability import NAMES

    return tuple(f"CAP_{name}" for name in NAMES.split())
