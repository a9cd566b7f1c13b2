"""Sizes, times and ids as docker says them.  Pure."""

from __future__ import annotations


def human_size(count: float) -> str:
    """Four digits and a decimal unit: ``5.61MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(count) < 1000 or unit == "PB":
            return f"{count:.4g}{unit}"
        count /= 1000
    raise AssertionError


def reclaimed(count: float) -> str:
    """The last line of whatever removes what is not needed."""
    return f"Total reclaimed space: {human_size(count)}"


def binary_size(count: float) -> str:
    """Four digits and a binary unit: ``1.944GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(count) < 1024 or unit == "PiB":
            return f"{count:.4g}{unit}"
        count /= 1024
    raise AssertionError


def human_duration(seconds: float) -> str:
    """``About an hour``, ``3 weeks``."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds < 2 else f"{int(seconds)} seconds"
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for unit, length, bound in (("days", 24, 336), ("weeks", 168, 1440), ("months", 720, 17520)):
        if hours < bound:
            return f"{hours // length} {unit}"
    return f"{hours // 8760} years"


def ago(seconds: float) -> str:
    """``2 hours ago``."""
    return f"{human_duration(max(0.0, seconds))} ago"


def short_id(identifier: str) -> str:
    """The first twelve digits of an id or digest."""
    return identifier.partition(":")[2][:12] if ":" in identifier else identifier[:12]


def ellipsis(text: str, width: int) -> str:
    """At most ``width`` characters, the last of them a ``…`` if something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"


def printable(text: str) -> str:
    """Text of an image or container without control characters: it cannot talk to the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def familiar(reference: str) -> str:
    """An image as docker shows it: without what it would add itself."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


def seconds_since_1970(text: str) -> float:
    """RFC 3339 to seconds, 0 for anything else; datetime would cost more than a list of containers."""
    try:
        date, _, clock = text.upper().partition("T")
        year, month, day = map(int, date.split("-"))
        hours, minutes, seconds = clock[:5].split(":") + [clock[6:].rstrip("Z")]
        sign = max(seconds.find("+"), seconds.find("-"))
        offset_s = 0
        if sign >= 0:
            ahead = seconds[sign:].replace(":", "")
            offset_s = int(ahead[:3]) * 3600 + int(ahead[0] + ahead[3:5]) * 60
            seconds = seconds[:sign]
        days = _days(year, month, day)
        return days * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds) - offset_s
    except ValueError:
        return 0.0


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 in the Gregorian calendar; a year begins in March, so leap days end one."""
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468
