"""HOST SIDE, foreground: pass signals and the terminal on, wait for init, reap what it leaves."""

from __future__ import annotations

import os

from rootless.lean import signal
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from rootless.network.backend import Link

# Everything that asks a process for something, but not what the kernel sends to report our own
# faults, not SIGCHLD, and not what job control must do to us.
FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGALRM,
    signal.SIGWINCH,
)


class Forwarding:
    """While it is open, signals that we get go to init, through a callback."""

    def __init__(self, send: Callable[[int], None], numbers: Iterable[int] = FORWARDED):
        self._send = send
        self._previous = {number: signal.signal(number, self._forward) for number in numbers}

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._send(number)

    def close(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def sender(pid: int) -> Callable[[int], None]:
    """A function that signals our child ``pid``, which may be gone by then."""

    def send(number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    return send


def wait(pid: int, *, forward: bool = True) -> int:
    """Wait for our child ``pid``; its exit status as a shell reports it (128+n for signal n)."""
    forwarding = Forwarding(sender(pid)) if forward else None
    try:
        _, status = os.waitpid(pid, 0)
    finally:
        if forwarding is not None:
            forwarding.close()
    return exit_status(status)


def stand_by(pid: int, link: Link, broken: Callable[[str], None]) -> int:
    """Wait for our child ``pid``; call ``broken`` with the reason when its network ends before it does."""
    import select

    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (pidfd, *link.fds()):
        poll.register(fd, select.POLLIN)
    try:
        while all(fd != pidfd for fd, _ in poll.poll()):
            reason = link.broken()
            if reason is not None:
                for fd in link.fds():
                    poll.unregister(fd)
                broken(reason)
    finally:
        os.close(pidfd)
    return wait(pid, forward=False)


def exit_status(status: int) -> int:
    """The wait status of waitpid(2) as an exit code."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def reap() -> None:
    """Collect orphans that have become our children: network helpers, the FUSE server."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
