"""A network whose owner has become another program: what is left of a link then.

MONITOR.  It is imported there for as long as a container lives, so it imports almost nothing.
"""

from __future__ import annotations

import os

from rootless.lean import signal
from rootless.typed import NamedTuple


class Kept(NamedTuple):
    """A link in plain values: what execve(2) carries over.

    ``watched`` are the pidfds of helpers, each with what it means when its process ends; ``held`` are
    descriptors that must stay open; ``files`` are removed at the end.  With ``patient`` the helpers
    are waited for at the end, because of the ports that they hold.
    """

    watched: tuple[tuple[int, str], ...] = ()
    held: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    patient: bool = False

    def descriptors(self) -> tuple[int, ...]:
        """All that must be inherited."""
        return (*(fd for fd, _ in self.watched), *self.held)


class KeptLink:
    """Implements what is left of ``Link``."""

    def __init__(self, kept: Kept):
        self._kept = kept
        self._closed = False

    def fds(self) -> tuple[int, ...]:
        return tuple(fd for fd, _ in self._kept.watched)

    def broken(self) -> str | None:
        import select

        for fd, reason in self._kept.watched:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if poll.poll(0):
                return reason
        return None

    def kept(self) -> Kept:
        return self._kept

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for fd, _ in self._kept.watched:
            _end(fd, wait=self._kept.patient)
        for fd in self._kept.descriptors():
            os.close(fd)
        for path in self._kept.files:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass


def _end(pidfd: int, *, wait: bool) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | (0 if wait else os.WNOHANG))
    except (ProcessLookupError, ChildProcessError):
        pass
