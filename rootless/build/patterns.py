"""Wildcards as Go's filepath.Match has them, for one component of a path.  Pure."""

from __future__ import annotations

import re

from rootless.errors import InvalidRequest


def has_wildcards(text: str) -> bool:
    """Whether any unescaped ``*``, ``?`` or ``[`` is in the text."""
    return re.search(r"[*?\[]", re.sub(r"\\.", "", text)) is not None


def unescaped(text: str) -> str:
    """A text without wildcards as the name that it means."""
    return re.sub(r"\\(.)", r"\1", text)


def escaped(path: str) -> str:
    """A path as the pattern that means only itself."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def component_matcher(pattern: str) -> re.Pattern[str]:
    """What matches the names that ``pattern`` stands for."""
    parts = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        if character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            text, index = _character_class(pattern, index)
            parts.append(text)
            continue
        elif character == "\\":
            index += 1
            if index == len(pattern):
                raise InvalidRequest(f"{pattern!r} ends in the middle of an escape")
            parts.append(re.escape(pattern[index]))
        else:
            parts.append(re.escape(character))
        index += 1
    return re.compile("".join(parts), re.DOTALL)


def _character_class(pattern: str, start: int) -> tuple[str, int]:
    """The regular expression for a ``[...]`` and the index after it."""
    index = start + 1
    negated = pattern[index : index + 1] == "^"
    index += negated
    ranges: list[str] = []
    while pattern[index : index + 1] != "]" or not ranges:
        first, index = _class_member(pattern, index)
        last = first
        if pattern[index : index + 1] == "-":
            last, index = _class_member(pattern, index + 1)
        # Go accepts a range that is empty; Python refuses it.
        ranges.append(f"{re.escape(first)}-{re.escape(last)}" if first <= last else "")
    members = "".join(ranges)
    if not members:
        return ("[^/]" if negated else "(?!)"), index + 1
    return f"(?!/)[{'^' if negated else ''}{members}]", index + 1


def _class_member(pattern: str, index: int) -> tuple[str, int]:
    if pattern[index : index + 1] == "\\":
        index += 1
    character = pattern[index : index + 1]
    if not character or (character in "-]" and pattern[index - 1] != "\\"):
        raise InvalidRequest(f"{pattern!r} has a malformed character class")
    return character, index + 1
