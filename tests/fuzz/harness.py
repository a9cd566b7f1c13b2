"""What every fuzzer shares: seeded cases with bounds on time, and a command line."""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from rootless.errors import RootlessError

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS_PER_CASE = 2.0


class Failed(Exception):
    """A promise that did not hold."""


def expect(promise: bool, failure: str) -> None:
    """Raise Failed unless it holds."""
    if not promise:
        raise Failed(failure)


def refused(action: Callable[[], object]) -> object:
    """What ``action`` gives, or None where it refuses with an error for a person; all else is a crash."""
    try:
        return action()
    except RootlessError as error:
        expect(
            bool(error.message) and len(error.message) < 10_000, f"message {error.message!r:.100}"
        )
        return None


def mutated(random: random.Random, content: bytes) -> bytes:
    """The content with a few bytes changed, removed, repeated or inserted."""
    changed = bytearray(content)
    for _ in range(random.choice((0, 1, 1, 2, 5, 20)) if changed else 0):
        at = random.randrange(len(changed) + 1)
        match random.randrange(5):
            case 0 if at < len(changed):
                changed[at] = random.randrange(256)
            case 1:
                del changed[at : at + random.choice((1, 2, 8, 100))]
            case 2:
                changed[at:at] = changed[max(0, at - random.choice((1, 8, 512))) : at]
            case 3:
                changed[at:at] = random.choice(
                    (b"\0", b"\n", b":", b"..", b"/", b"9" * 20, b"\xff")
                )
            case _ if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
        if not changed:
            break
    return bytes(changed)


def run(
    check: Callable[[random.Random], None],
    *,
    seconds: float,
    seed: int,
    cases: int | None = None,
    each_s: float = SECONDS_PER_CASE,
) -> int:
    """Try cases until the time is over; the answer is how many.  A failure names its seed."""
    end = time.monotonic() + seconds
    done = 0
    while time.monotonic() < end and (cases is None or done < cases):
        case = seed + done
        started = time.process_time()
        try:
            check(random.Random(case))
        except BaseException:
            sys.stderr.write(f"seed {case} failed\n")
            raise
        spent = time.process_time() - started
        expect(spent < each_s, f"seed {case} took {spent:.1f} s")
        done += 1
    return done


def main(
    check: Callable[[random.Random], None], description: str, *, each_s: float = SECONDS_PER_CASE
) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--cases", type=int)
    options = parser.parse_args()
    done = run(
        check, seconds=options.seconds, seed=options.seed, cases=options.cases, each_s=each_s
    )
    sys.stdout.write(f"{done} cases, first seed {options.seed}\n")
