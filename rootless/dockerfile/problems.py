"""Errors that point: file, line, column, and the nearest name that exists.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.dockerfile.instructions import Origin


def invalid(
    origin: Origin, message: str, *, word: str = "", offset: int = 0, hint: str | None = None
) -> InvalidRequest:
    """The error at ``word``, searched from ``offset`` on in the instruction, or at ``offset``."""
    found = origin.source.find(word, offset) if word else offset
    line, column = origin.at(max(found, offset))
    return InvalidRequest(f"{origin.name}:{line}:{column}: {message}", hint=hint)


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """The remedy for a misspelt word, if any name is near enough."""
    near = nearest(word, names)
    return f"did you mean {near}?" if near else None


def nearest(word: str, names: Iterable[str]) -> str:
    """The first of the names at the smallest edit distance below 3; "" without one.

    "" as well when the word is one of the names: then the trouble is something else.
    """
    best, limit = "", 3
    for name in names:
        if name == word:
            return ""
        # The distance is at least the difference in length, and long words take quadratic time.
        if abs(len(name) - len(word)) < limit and len(word) < 100:
            distance = _distance(word, name)
            if distance < limit:
                best, limit = name, distance
    return best


def _distance(left: str, right: str) -> int:
    """How many characters to insert, delete or replace."""
    row = list(range(len(right) + 1))
    for index, char in enumerate(left, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(right, 1):
            cost = min(row[column] + 1, row[column - 1] + 1, previous + (char != other))
            previous, row[column] = row[column], cost
    return row[-1]
