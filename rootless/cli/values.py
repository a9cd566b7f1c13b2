"""Texts of the command line to values.  Pure: no file, clock or environment is read here."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SECONDS = {
    **{"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3},
    **{"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0},
}


def boolean(text: str) -> bool:
    """``true`` and ``false`` as Go's flags write them."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise InvalidRequest(f"{text!r} is neither true nor false")


def integer(text: str) -> int:
    """A decimal number, perhaps negative."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidRequest(f"{text!r} is not a whole number")
    return int(text)


def natural(text: str) -> int:
    """A whole number that is not negative."""
    number = integer(text)
    if number < 0:
        raise InvalidRequest(f"{text!r} is negative")
    return number


def decimal(text: str) -> float:
    """A number such as ``1.5``, not negative."""
    number = _decimal(text)
    if number is None:
        raise InvalidRequest(f"{text!r} is not a number")
    return number


def _decimal(text: str) -> float | None:
    """Digits with at most one point; Python's float takes more than people mean."""
    digits = text.replace(".", "", 1)
    return float(text) if digits.isascii() and digits.isdigit() and len(text) < 20 else None


def size(text: str) -> int:
    """``512m``, ``1.5G``, ``64KiB`` to bytes; units are powers of 1024, as docker's."""
    number = text.rstrip("bBiIkKmMgGtTpP")
    unit = text[len(number) :].lower()
    count = _decimal(number.removesuffix(" "))
    if (
        count is None
        or unit[:1] not in _UNITS
        or unit[1:] not in ("", "b", "i", "ib")
        or unit == "bb"
    ):
        raise InvalidRequest(f"{text!r} is not a size such as 64m or 2g")
    return int(count * _UNITS[unit[:1]])


def size_or_unlimited(text: str) -> int:
    """A size, or ``-1`` for no limit."""
    return -1 if text == "-1" else size(text)


def seconds(text: str) -> float:
    """``1h30m``, ``10s``, ``500ms`` or a bare number of seconds."""
    bare = _decimal(text)
    if bare is not None:
        return bare
    total, rest = 0.0, text
    while rest:
        number, unit, rest = _duration_part(rest)
        count, factor = _decimal(number), _SECONDS.get(unit)
        if count is None or factor is None:
            break
        total += count * factor
    else:
        if text:
            return total
    raise InvalidRequest(f"{text!r} is not a duration such as 30s or 1h30m")


def _duration_part(text: str) -> tuple[str, str, str]:
    """The first number, its unit, and what follows."""
    end = 0
    while end < len(text) and (text[end].isdigit() or text[end] == "."):
        end += 1
    stop = end
    while stop < len(text) and not (text[stop].isdigit() or text[stop] == "."):
        stop += 1
    return text[:end], text[end:stop], text[stop:]


def timestamp(text: str, *, now: float) -> float:
    """RFC 3339, seconds since 1970, or a duration before ``now``, to seconds since 1970."""
    since_1970 = _decimal(text)
    if since_1970 is not None:
        return since_1970
    try:
        return now - seconds(text)
    except InvalidRequest:
        pass
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a time such as 2026-01-31T12:00:00 or 10m") from None


def octal(text: str) -> int:
    """A mode or umask such as ``0022``."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777 or "_" in text:
        raise InvalidRequest(f"{text!r} is not an octal mode such as 0022")
    return mode


def words(text: str) -> tuple[str, ...]:
    """``--entrypoint``: a program, or a JSON array of words; empty for none."""
    if text[:1] != "[":
        return (text,) if text else ()
    import json

    try:
        array = json.loads(text)
    except ValueError:
        return (text,)
    if not all(isinstance(word, str) for word in array):
        raise InvalidRequest(f"{text!r} is not an array of texts")
    return tuple(array)


def pair(text: str) -> str:
    """``K=V`` or ``K`` (then the value is empty), as labels are."""
    key, equals, _ = text.partition("=")
    if not key:
        raise InvalidRequest(f"{text!r} has no name before the =")
    return text if equals else f"{text}="


def assignment(text: str) -> str:
    """``K=V``; the name must be there, and the equals sign too."""
    key, equals, _ = text.partition("=")
    if not key or not equals:
        raise InvalidRequest(f"{text!r} is not of the form NAME=VALUE")
    return text


def variable(text: str) -> str:
    """``-e``: ``K=V``, ``K`` or ``PREFIX*``."""
    if text[:1] in ("", "="):
        raise InvalidRequest(f"{text!r} has no name of a variable")
    if "\0" in text:
        raise InvalidRequest("an environment variable cannot hold a null byte")
    return text


def platform(os: str | None, arch: str | None, variant: str | None) -> str | None:
    """``--os``, ``--arch`` and ``--variant`` as ``--platform`` would say it."""
    if not (os or arch or variant):
        return None
    if not arch:
        if variant:
            raise InvalidRequest("--variant needs --arch")
        return f"{os}/"
    return f"{os or 'linux'}/{arch}" + (f"/{variant}" if variant else "")


def environment(variables: Iterable[str], surroundings: Mapping[str, str]) -> tuple[str, ...]:
    """``-e`` words as pairs: a bare name takes the caller's value, and nothing where there is none."""
    pairs: list[str] = []
    for text in variables:
        name, equals, _ = text.partition("=")
        if equals:
            pairs.append(text)
        elif name.endswith("*"):
            prefix = name[:-1]
            pairs += sorted(f"{k}={v}" for k, v in surroundings.items() if k.startswith(prefix))
        elif name in surroundings:
            pairs.append(f"{name}={surroundings[name]}")
    return tuple(pairs)


def env_file(text: str, *, name: str) -> tuple[str, ...]:
    """The variables of an ``--env-file``: one a line, ``#`` comments, values taken literally."""
    variables: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r").lstrip()
        if not line or line[0] == "#":
            continue
        key = line.partition("=")[0]
        if not key or any(blank in key for blank in " \t"):
            raise InvalidRequest(f"{name}:{number}: {key!r} is not a name of a variable")
        variables.append(variable(line))
    return tuple(variables)


def split_colons(text: str) -> list[str]:
    """Split at colons; a backslash before one keeps it."""
    if "\\:" not in text:
        return text.split(":")
    return [part.replace("\0", ":") for part in text.replace("\\:", "\0").split(":")]


def split_commas(text: str) -> list[str]:
    """Split a line of comma-separated values; double quotes keep commas."""
    if '"' not in text:
        return text.split(",")
    fields, field, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += character
    if quoted:
        raise InvalidRequest(f"{text!r} has a quote that never ends")
    return [*fields, field]


def platform_of(given: dict[str, Any]) -> str | None:
    """``--platform``, or what its parts say: takes them out of ``given``."""
    parts = platform(*(given.pop(name, None) for name in ("os", "arch", "variant")))
    chosen: str | None = given.pop("platform", None)
    return chosen or parts
