"""A forked child of a build, which dies with its parent and never returns into the caller's stack."""

from __future__ import annotations

import os
import signal

from rootless.kernel import process
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def fork(function: Callable[[], object]) -> int:
    """Run ``function`` in a child; the child's pid.  The caller must have one thread."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == parent:  # it might have died before the signal was set
            function()
    finally:
        os._exit(0)
