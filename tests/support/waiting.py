"""Waiting for a condition, with a bound.  Tests never sleep for a fixed time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, *, timeout_s: float = 20, pause_s: float = 0.02
) -> object:
    """The first true answer of ``condition``; AssertionError naming ``what`` when none comes."""
    end = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(pause_s)
