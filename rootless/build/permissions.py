"""``--chmod`` and ``--chown`` texts.  Pure."""

from __future__ import annotations

import re

from rootless.errors import InvalidRequest
from rootless.typed import NamedTuple

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_SHIFT = {"u": 6, "g": 3, "o": 0}


class ModeChange(NamedTuple):
    """What ``--chmod`` says: a number, or clauses as chmod(1) takes them."""

    absolute: int | None
    clauses: tuple[tuple[str, str, str], ...] = ()  # (who, operator, permissions)

    def of(self, mode: int, *, is_directory: bool) -> int:
        """The permission bits after the change."""
        mode &= 0o7777
        if self.absolute is not None:
            return self.absolute
        for who, operator, permissions in self.clauses:
            mode = _applied(mode, who, operator, permissions, is_directory=is_directory)
        return mode


def parse_mode(text: str) -> ModeChange:
    """Read ``755`` or ``u=rwX,go=rX``."""
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        return ModeChange(int(text, 8))
    if text[:1].isdigit():
        raise InvalidRequest(f"--chmod={text} is not an octal number up to 07777")
    clauses: list[tuple[str, str, str]] = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise InvalidRequest(f"--chmod={text} is neither octal nor like u=rwX,go=rX")
        who = "ugo" if match[1] in ("", "a") or "a" in match[1] else match[1]
        clauses += [(who, action[1], action[2]) for action in _ACTION.finditer(match[2])]
    return ModeChange(None, tuple(clauses))


def _applied(mode: int, who: str, operator: str, permissions: str, *, is_directory: bool) -> int:
    mask = 0
    for each in who:
        mask |= _WHO[each]
    if who == "ugo":
        mask |= 0o7000
    bits = _bits(mode, permissions, is_directory=is_directory) & (mask | 0o1000)
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    # chmod(1): "=" leaves a directory's set-id bits alone unless they are named.
    return (mode & ~mask) | bits


def _bits(mode: int, permissions: str, *, is_directory: bool) -> int:
    if permissions in _SHIFT:
        three = (mode >> _SHIFT[permissions]) & 7
        return three * 0o111
    bits = 0
    for each in permissions:
        if each == "X":
            bits |= 0o111 if is_directory or mode & 0o111 else 0
        elif each == "s":
            bits |= 0o6000
        elif each == "t":
            bits |= 0o1000
        else:
            bits |= _BITS[each]
    return bits
