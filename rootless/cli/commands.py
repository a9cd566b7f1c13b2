"""Which commands there are, and which module each is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootless.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Title -> command -> module, of ``rootless.cli`` and of ``rootless.cli.options``.
PANELS: dict[str, dict[str, str]] = {
    "Containers": {
        "run": "run",
        "exec": "run",
        "ps": "containers",
        "attach": "containers",
        "start": "run",
        "stop": "containers",
        "restart": "containers",
        "kill": "containers",
        "wait": "containers",
        "create": "run",
        "rm": "containers",
    },
    "Images": {
        "pull": "images",
        "images": "images",
        "tag": "images",
        "untag": "images",
        "history": "images",
        "image inspect": "images",
        "image tree": "images",
        "image exists": "images",
    },
    "Networks": {
        "network create": "networks",
        "network ls": "networks",
        "network inspect": "networks",
        "network connect": "networks",
        "network disconnect": "networks",
        "network exists": "networks",
        "network test": "networks",
        "network prune": "networks",
        "network rm": "networks",
    },
    "Host": {
        "info": "system",
        "unshare": "system",
        "system reset": "system",
        "version": "system",
        "completion": "completion",
        "help": "system",
    },
}

COMMANDS: dict[str, str] = {
    **{name: family for panel in PANELS.values() for name, family in panel.items()},
    "__complete": "completion",
}

NOUNS = ("container", "image", "volume", "network", "secret", "manifest", "system", "healthcheck")

# Names that others use: docker's and podman's noun groups, and words for the same thing.
ALIASES: dict[str, str] = {
    "list": "ps",
    "container ls": "ps",
    "container list": "ps",
    "container ps": "ps",
    "image ls": "images",
    "image list": "images",
    "image rm": "rmi",
    "image remove": "rmi",
    "volume list": "volume ls",
    "volume remove": "volume rm",
    "network list": "network ls",
    "network remove": "network rm",
    "secret list": "secret ls",
    "secret remove": "secret rm",
    "buildx build": "build",
    "builder build": "build",
}
# Commands that docker also knows under a noun.
_SHARED_VERBS = {
    "container": "attach commit cp create diff exec export kill logs pause port rename restart rm run"
    " start stats stop top unpause update wait",
    "image": "build history import load pull push save search tag untag",
    "system": "events info",
}


def verbs(noun: str) -> dict[str, str]:
    """What may follow a noun, and the command that each is."""
    found = {verb: verb for verb in _SHARED_VERBS.get(noun, "").split() if verb in COMMANDS}
    for name in COMMANDS:
        if name.startswith(f"{noun} "):
            found[name.partition(" ")[2]] = name
    for alias, name in ALIASES.items():
        if alias.startswith(f"{noun} ") and name in COMMANDS:
            found[alias.partition(" ")[2]] = name
    return dict(sorted(found.items()))


def resolve(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command that a line names, and the words after it.

    Raises InvalidRequest with the nearest name where there is no such command.
    """
    first = argv[0] if argv else "help"
    if first in COMMANDS and first not in NOUNS:
        return first, argv[1:]
    if first in ("-h", "--help"):
        return "help", argv[1:]
    if first in ("-v", "--version"):
        return "version", ["--format", "rootless version {{.Version}}"]
    if first in NOUNS or first in ("buildx", "builder"):
        return _resolve_noun(first, argv)
    if ALIASES.get(first) in COMMANDS:
        return ALIASES[first], argv[1:]
    raise unknown_command(first)


def _resolve_noun(noun: str, argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    if len(argv) < 2 or argv[1] in ("-h", "--help"):
        return "help", [noun]
    known = verbs(noun)
    if argv[1] not in known:
        near = _nearest(argv[1], known)
        remedy = f"did you mean rootless {noun} {near}?" if near else f"rootless {noun} lists them"
        raise InvalidRequest(f"rootless {noun} has no command {argv[1]}", hint=remedy)
    return known[argv[1]], argv[2:]


def unknown_command(name: str) -> InvalidRequest:
    """The error that suggests the nearest command."""
    if name.startswith("-"):
        return InvalidRequest(f"rootless has no flag {name}", hint="flags follow the command")
    near = _nearest(name, [*COMMANDS, *NOUNS])
    hint = f"did you mean rootless {near}?" if near else "rootless --help lists the commands"
    return InvalidRequest(f"rootless has no command {name}", hint=hint)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, [*known], 1, 0.6)), None)
