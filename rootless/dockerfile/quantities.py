"""Durations, sizes, numbers and booleans as Go programs read them.  Pure; ValueError for nonsense."""

from __future__ import annotations

import re

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)"
_LONGEST_NS = 2**63 - 1
_SIZE = r"(?i)([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?"
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def duration_ns(text: str) -> int:
    """``1h30m``, ``2.5s``, ``100ms``, ``0``, in nanoseconds."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    total = position = 0
    part = re.compile(_DURATION_PART)
    while match := part.match(unsigned, position):
        whole, fraction, unit = match.groups()
        if not whole and not fraction:
            break
        # More than 20 digits are too many before the point, and too fine behind it.
        if len(whole.lstrip("0")) > 20:
            raise ValueError(f"invalid duration {text!r}")
        fraction = (fraction or "")[:20]
        total += int(whole or 0) * _UNITS_NS[unit]
        total += int(fraction or 0) * _UNITS_NS[unit] // 10 ** len(fraction)
        position = match.end()
    if not position or position < len(unsigned) or total > _LONGEST_NS:
        raise ValueError(f"invalid duration {text!r}")
    return -total if text.startswith("-") else total


def size_bytes(text: str) -> int:
    """``64m``, ``1.5GiB``, ``100``: every unit is a power of 1024."""
    match = re.fullmatch(_SIZE, text)
    if not match or len(match.group(1)) > 20:
        raise ValueError(f"invalid size: {text!r}")
    exponent = " kmgtp".index(match.group(2).lower() or " ")
    return int(float(match.group(1)) * 1024**exponent)


def boolean(text: str) -> bool:
    """``true`` and ``false`` in the dozen spellings that Go accepts."""
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise ValueError(f"{text!r} is not a boolean") from None


def unsigned(text: str, *, base: int = 10) -> int:
    """Plain digits of a number that fits into 32 bits; no sign, no prefix, no underscores."""
    if not (text.isascii() and text.isdigit() and len(text) <= 32):
        raise ValueError(f"{text!r} is not a number")
    number = int(text, base)
    if number >= 2**32:
        raise ValueError(f"{text} is too large")
    return number
