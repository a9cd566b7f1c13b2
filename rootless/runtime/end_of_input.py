"""HOST SIDE and MONITOR: how a program on a pseudo-terminal is told that nothing more will be typed.

A terminal has no end of input, only a character that means one while lines are edited (termios(3), VEOF).
What is typed before a shell has set its terminal up reads as nothing: so it is said again a few times.
"""

from __future__ import annotations

END_OF_INPUT = b"\x04"  # what a terminal calls Ctrl-D
NEVER = (0.0, 0.0)
_FIRST_S = 0.5
_LAST_S = 32.0


def first(now: float) -> tuple[float, float]:
    """It was said at ``now``, of the monotonic clock in seconds: when to say it again, and after how long."""
    return (now + _FIRST_S, _FIRST_S)


def following(repeat: tuple[float, float], now: float) -> tuple[float, float]:
    """The same after another time: it takes twice as long, and then it ends."""
    delay = 2 * repeat[1]
    return (now + delay, delay) if delay <= _LAST_S else NEVER


def is_due(repeat: tuple[float, float], now: float) -> bool:
    """Whether to say it now."""
    return repeat != NEVER and now >= repeat[0]
