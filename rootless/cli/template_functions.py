"""What templates can call, and how values look and count there.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def show(value: object) -> str:
    """A value as Go prints it."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return f"{value:g}"
        case dict():
            items = sorted(value.items(), key=lambda item: str(item[0]))
            return "map[" + " ".join(f"{show(k)}:{show(v)}" for k, v in items) + "]"
        case list() | tuple():
            return "[" + " ".join(map(show, value)) + "]"
        case _:
            return str(value)


def truth(value: object) -> bool:
    """Whether ``if`` takes it: not for zero, nothing and what is empty."""
    return bool(value)


def to_json(value: object, indent: str | None = None) -> str:
    """JSON as Go writes it: no blanks, or indented."""
    import json

    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, separators=separators, indent=indent, ensure_ascii=False, default=str)


def _pretty(value: object) -> str:
    return to_json(value, "  ")


def _printf(pattern: str, *arguments: object) -> str:
    """``printf`` with the verbs of Go that people use."""
    written, position, rest = [], 0, list(arguments)
    while position < len(pattern):
        start = pattern.find("%", position)
        if start < 0:
            written.append(pattern[position:])
            break
        written.append(pattern[position:start])
        end = start + 1
        while end < len(pattern) and pattern[end] in "+-# 0123456789.":
            end += 1
        flags, verb = pattern[start + 1 : end], pattern[end : end + 1]
        if verb == "%":
            written.append("%")
        elif not rest:
            raise InvalidRequest(f"%{verb} has no value")
        else:
            written.append(_format(flags, verb, rest.pop(0)))
        position = end + 1
    return "".join(written)


def _format(flags: str, verb: str, value: object) -> str:
    if verb in ("d", "x", "X", "o", "c") and isinstance(value, int):
        return f"%{flags}{verb}" % value
    if verb in ("f", "g", "e") and isinstance(value, int | float):
        return f"%{flags}{verb}" % value
    if verb == "b" and isinstance(value, int):
        return f"%{flags}s" % format(value, "b")
    if verb == "q":
        return f"%{flags}s" % to_json(show(value))
    if verb in ("s", "v", "t"):
        return f"%{flags.replace('#', '').replace('+', '')}s" % show(value)
    raise InvalidRequest(f"%{verb} cannot print {show(value)!r}")


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    return len(value)  # type: ignore[arg-type]  # the caller turns a TypeError into a message


def _index(value: Any, *keys: Any) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif (
            isinstance(value, list | tuple | str) and isinstance(key, int) and 0 <= key < len(value)
        ):
            value = value[key]
        else:
            raise InvalidRequest(f"no element {show(key)}")
    return value


def _slice(value: Any, *bounds: int) -> object:
    if len(bounds) > 2 or any(not 0 <= bound <= len(value) for bound in bounds):
        raise InvalidRequest("out of range")
    return value[slice(*bounds)] if len(bounds) == 2 else value[bounds[0] :] if bounds else value


def _print(*values: object) -> str:
    """Blanks between values of which neither is a text."""
    text = ""
    for position, value in enumerate(values):
        both = position and not isinstance(value, str) and not isinstance(values[position - 1], str)
        text += (" " if both else "") + show(value)
    return text


def _join(*given: Any) -> str:
    """``join LIST SEPARATOR``, also with the list from a pipe."""
    elements, separator = given if not isinstance(given[0], str) else (given[1], given[0])
    return str(separator).join(map(show, elements or ()))


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _compare(operator: str) -> Callable[..., bool]:
    def compare(first: Any, *others: Any) -> bool:
        match operator:
            case "eq":
                return any(first == other for other in others)
            case "ne":
                return bool(first != others[0])
            case "lt":
                return bool(first < others[0])
            case "le":
                return bool(first <= others[0])
            case "gt":
                return bool(first > others[0])
            case _:
                return bool(first >= others[0])

    return compare


FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": to_json,
    "prettyjson": _pretty,
    "printf": _printf,
    "print": _print,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "len": _length,
    "index": _index,
    "slice": _slice,
    "not": lambda value: not truth(value),
    "join": _join,
    "split": _split,
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "title": lambda text: str(text).title(),
    "trim": lambda text: str(text).strip(),
    "truncate": _truncate,
    "pad": _pad,
    "replace": lambda text, old, new: str(text).replace(old, new),
    "urlquery": lambda value: _quote_url(show(value)),
    "html": show,
    **{name: _compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}


def _quote_url(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)
