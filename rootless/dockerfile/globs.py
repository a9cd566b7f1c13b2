"""Path patterns with ``**`` → regular expressions, as BuildKit's matcher reads them.  Pure."""

from __future__ import annotations

import re

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Token(NamedTuple):
    kind: str  # literal, special, star or gap ("**")
    expression: str = ""


_STAR = _Token("star")
_GAP = _Token("gap")
_SLASH = _Token("literal", "/")


def expression(pattern: str) -> str:
    """What matches the whole of the paths that ``pattern`` stands for; for re.DOTALL."""
    tokens = _tokens(pattern)
    if tokens[0] == _GAP and all(token.kind == "literal" for token in tokens[1:]):
        # With nothing special behind it, "**" means "ends in", even in the middle of a name.
        start = "(?:.*/)?" if pattern.startswith("**/") else ".*"
        return start + "".join(token.expression for token in tokens[1:])
    parts = []
    for index, token in enumerate(tokens):
        if token == _GAP:
            is_last = index + 1 == len(tokens)
            # Several in a row are one, which keeps matching from trying every split between them.
            if is_last or tokens[index + 1] != _GAP:
                parts.append(".*" if is_last else "(?:.*/)?")
        elif token == _STAR:
            parts.append(_star(tokens[index + 1 :]))
        else:
            parts.append(token.expression)
    return "".join(parts)


def _star(behind: Sequence[_Token]) -> str:
    """``*``: of what follows, up to the next star of the same component, the first place is enough."""
    segment: list[str] = []
    for token in behind:
        if token == _STAR:
            # The atomic group around lookahead and text keeps matching linear.
            return f"(?>[^/]*?(?={''.join(segment)}))"
        if token in (_GAP, _SLASH):
            break
        segment.append(token.expression)
    return "[^/]*"


def _tokens(pattern: str) -> list[_Token]:
    tokens = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        index += 1
        if character == "*" and pattern.startswith("*", index):
            index += 2 if pattern.startswith("/", index + 1) else 1
            tokens.append(_GAP)
        elif character == "*":
            tokens.append(_STAR)
        elif character == "?":
            tokens.append(_Token("special", "[^/]"))
        elif character == "[":
            text, index = _character_class(pattern, index)
            tokens.append(_Token("special", text))
        elif character == "\\":
            if index == len(pattern):
                raise InvalidRequest(f"{pattern!r} ends in the middle of an escape")
            tokens.append(_Token("special", re.escape(pattern[index])))
            index += 1
        else:
            tokens.append(_Token("literal", re.escape(character)))
    return tokens


def _character_class(pattern: str, index: int) -> tuple[str, int]:
    """The expression of ``[...]``, whose first member is at ``index``, and the index behind it."""
    negated = pattern.startswith("^", index)
    index += negated
    ranges: list[str] = []
    while not ranges or not pattern.startswith("]", index):
        first, index = _member(pattern, index)
        last = first
        if pattern.startswith("-", index):
            last, index = _member(pattern, index + 1)
        if first > last:
            raise InvalidRequest(f"{pattern!r} has the empty range {first}-{last}")
        ranges.append(f"{re.escape(first)}-{re.escape(last)}")
    return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", index + 1


def _member(pattern: str, index: int) -> tuple[str, int]:
    character = pattern[index : index + 1]
    if character == "\\":
        index += 1
        character = pattern[index : index + 1]
    elif character in ("-", "]"):
        character = ""
    if not character:
        raise InvalidRequest(f"{pattern!r} has a malformed character class")
    return character, index + 1
