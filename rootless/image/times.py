"""Times in image documents and on command lines (RFC 3339, Go's durations).  Pure but for "now"."""

from __future__ import annotations

import time

from rootless.errors import InvalidRequest

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_time(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 for what is none."""
    from datetime import UTC, datetime

    # Nanoseconds, which Go writes, are more than datetime reads before Python 3.11.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return 0.0


def rfc3339(seconds: float) -> str:
    """The time as documents have it, in UTC; whole seconds without a fraction."""
    whole = int(seconds // 1)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    fraction = f"{seconds - whole:.9f}"[1:].rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"


def parse_since(text: str, *, now_s: float | None = None) -> float:
    """A moment: seconds since 1970, an RFC 3339 time, or a duration before now like ``1h30m``."""
    try:
        return float(text)
    except ValueError:
        pass
    duration = parse_duration(text)
    if duration is not None:
        return (time.time() if now_s is None else now_s) - duration
    moment = parse_time(text)
    if moment == 0.0:
        raise InvalidRequest(
            f"{text!r} is not a time", hint="write 2h, 2024-01-31 or 2024-01-31T10:00:00Z"
        )
    return moment


def parse_duration(text: str) -> float | None:
    """Seconds of ``1h30m``, ``45s``, ``1.5h``; None for what is none."""
    seconds, number, unit = 0.0, "", ""
    for character in text + "\0":
        if character.isdigit() or character == ".":
            if unit:
                if unit not in _UNITS_S or not _is_number(number):
                    return None
                seconds, number, unit = seconds + float(number) * _UNITS_S[unit], "", ""
            number += character
        else:
            unit += character
    unit = unit.removesuffix("\0")
    if unit not in _UNITS_S or not _is_number(number):
        return None
    return seconds + float(number) * _UNITS_S[unit]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit()
