"""HOST SIDE: bytes between our streams and the pseudo-terminal of a process of ours."""

from __future__ import annotations

import os
import select
import time

from rootless.files import write_all
from rootless.runtime import end_of_input, supervise

_CHUNK = 1 << 16


def relay(pid: int, multiplexer: int, *, interactive: bool) -> int:
    """Copy both ways until process ``pid`` ends; its exit code.  Closes ``multiplexer``."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(multiplexer, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    if interactive:
        poll.register(0, select.POLLIN)
    repeat = end_of_input.NEVER
    ended = False
    while not ended:
        ready = {fd for fd, _ in poll.poll(None if repeat == end_of_input.NEVER else 500)}
        if end_of_input.is_due(repeat, time.monotonic()):
            repeat = end_of_input.following(repeat, time.monotonic())
            write_all(multiplexer, end_of_input.END_OF_INPUT)
        if multiplexer in ready and not _pass_on(multiplexer):
            poll.unregister(multiplexer)
        if 0 in ready:
            typed = os.read(0, _CHUNK)
            write_all(multiplexer, typed or end_of_input.END_OF_INPUT)
            if not typed:
                poll.unregister(0)
                repeat = end_of_input.first(time.monotonic())
        ended = pidfd in ready
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    os.set_blocking(multiplexer, False)
    while _pass_on(multiplexer):  # what was written before the end and not read yet
        pass
    os.close(multiplexer)
    return supervise.exit_status(status)


def _pass_on(multiplexer: int) -> bool:
    try:
        content = os.read(multiplexer, _CHUNK)
    except OSError:  # EIO: nobody has the terminal open any more
        return False
    write_all(1, content)
    return bool(content)


def own_size() -> bytes:
    """The size of our terminal as struct winsize; empty without one (ioctl_tty(2))."""
    from fcntl import ioctl
    from termios import TIOCGWINSZ

    for fd in (0, 1, 2):
        try:
            return ioctl(fd, TIOCGWINSZ, bytes(8))
        except OSError:
            continue
    return b""


def set_size(multiplexer: int, size: bytes) -> None:
    """Give a pseudo-terminal that size, if there is one."""
    from fcntl import ioctl
    from termios import TIOCSWINSZ

    if size:
        ioctl(multiplexer, TIOCSWINSZ, size)


def copy_size(multiplexer: int) -> None:
    """Give a pseudo-terminal the size of ours, if we have one."""
    set_size(multiplexer, own_size())
