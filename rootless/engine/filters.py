"""``--filter``: what all lists understand alike.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def split(text: str) -> tuple[str, str, str]:
    """``key=value`` or ``key!=value``; a label's value may have an equals sign of its own."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} is not a filter", hint="write key=value")
    return (key[:-1], "!=", value) if key.endswith("!") else (key, "=", value)


def grouped(texts: Sequence[str], known: Collection[str]) -> list[list[tuple[str, str]]]:
    """Keys and values by key: of a group one has to fit, of every group one; each label is a group.

    Raises InvalidRequest for a key that is not among the known.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in known or not equals:
            hint = "one of " + " ".join(f"{each}=" for each in known)
            raise InvalidRequest(f"unknown filter {text!r}", hint=hint)
        groups.setdefault(text if key in ("label", "label!") else key, []).append((key, value))
    return list(groups.values())


def truth(text: str) -> bool:
    """A value that is true or false.  Raises InvalidRequest."""
    if text.lower() in ("true", "1", "t"):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise InvalidRequest(f"{text!r} is neither true nor false")


def has(pairs: Mapping[str, str], text: str) -> bool:
    """Whether the labels or options have ``KEY``, or ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    return key in pairs and (not equals or pairs[key] == value)


def means_image(value: str, name: str) -> bool:
    """Whether an image's name is meant: the tag may be missing, and so may what docker leaves out."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return value in (name, short, name.rpartition(":")[0], short.rpartition(":")[0])
