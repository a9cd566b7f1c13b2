"""The patterns of ``${name#pattern}``, ``${name%pattern}`` and ``${name/pattern/text}``.  Pure.

``*`` is any text and ``?`` any character, neither across a line end; ``\\*``, ``\\?`` and ``\\\\`` stand
for themselves, and ``\\}`` and ``\\/`` for the characters that would end the pattern.
"""

from __future__ import annotations

import re

_ANY_TEXT = None  # in a list of tokens; a character is a one-element pattern of its own


def remove_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """``${name#pattern}``; ``##`` takes the longest match."""
    return _remove(value, _tokens(pattern), longest=longest)


def remove_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """``${name%pattern}``; ``%%`` takes the longest match."""
    # The shortest match that reaches the end is the shortest prefix of everything reversed.
    return _remove(value[::-1], _tokens(pattern)[::-1], longest=longest)[::-1]


def replace(value: str, pattern: str, text: str, *, everywhere: bool) -> str:
    """``${name/pattern/text}``: the leftmost longest match; ``//`` replaces all of them."""
    search = _Search(_tokens(pattern))
    parts = []
    position = after = 0  # where to search; what has been copied
    previous = -1
    while match := search.find(value, position):
        start, end = match
        # An empty match right behind another one is part of it.
        if end > start or start != previous:
            parts += [value[after:start], text]
            after = previous = end
            if not everywhere:
                break
        position = end if end > start else end + 1
        if position > len(value):
            break
    return "".join(parts) + value[after:]


def _tokens(pattern: str) -> list[str | None]:
    """The pattern as regular expressions of one character each, and None for ``*``."""
    tokens: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            # Several stars in a row are one, which also keeps matching linear.
            if not tokens or tokens[-1] is not _ANY_TEXT:
                tokens.append(_ANY_TEXT)
        elif character == "?":
            tokens.append(".")
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "?", "\\", "}", "/"):
                raise ValueError(f"invalid escape '\\{escaped}'")
            tokens.append(re.escape(escaped))
        else:
            tokens.append(re.escape(character))
    return tokens


def _segments(tokens: list[str | None]) -> list[str]:
    """What stands before, between and behind the stars."""
    segments = [""]
    for token in tokens:
        if token is _ANY_TEXT:
            segments.append("")
        else:
            segments[-1] += token
    return segments


def _anchored(segments: list[str], *, longest: bool) -> re.Pattern[str]:
    """Each segment at its first place is the shortest match, the last one at its last the longest.

    Atomic groups keep the engine from trying other places, so that time stays linear.
    """
    first, *others = segments
    expression = first
    for index, segment in enumerate(others, 1):
        if longest and index == len(others):
            expression += f"(?>.*){segment}" if not segment else f".*{segment}"
        else:
            expression += f"(?>.*?{segment})"
    return re.compile(expression)


def _remove(value: str, tokens: list[str | None], *, longest: bool) -> str:
    match = _anchored(_segments(tokens), longest=longest).match(value)
    return value[match.end() :] if match else value


class _Search:
    """Find the leftmost longest match without looking at any line twice for nothing."""

    def __init__(self, tokens: list[str | None]):
        segments = _segments(tokens)
        self._first = re.compile(segments[0])
        self._whole = _anchored(segments, longest=True)

    def find(self, value: str, position: int) -> tuple[int, int] | None:
        while first := self._first.search(value, position):
            if whole := self._whole.match(value, first.start()):
                return whole.span()
            # Stars do not cross lines: what fails here fails further right in this line as well.
            line_end = value.find("\n", first.end())
            if line_end < 0:
                return None
            width = first.end() - first.start()
            position = max(first.start() + 1, line_end + 1 - width)
        return None
