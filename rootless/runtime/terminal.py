"""HOST SIDE: relay between the caller's terminal and the container's pseudo-terminal."""

from __future__ import annotations

import os
import signal

from rootless.runtime import supervise

_CHUNK = 1 << 16


def relay(pid: int, multiplexer: int, *, interactive: bool) -> int:
    """Copy both ways until init ends; its exit code.

    Our terminal is raw meanwhile, so Ctrl-C and the like are bytes that the container's terminal
    turns into signals for its own foreground processes; its size follows ours.
    """
    import select
    import termios
    import tty

    stdin_is_terminal = interactive and os.isatty(0)
    saved = termios.tcgetattr(0) if stdin_is_terminal else None
    copy_size(multiplexer)
    previous = signal.signal(signal.SIGWINCH, lambda *_: copy_size(multiplexer))
    forwarding = supervise.Forwarding(
        supervise.sender(pid),
        [each for each in supervise.FORWARDED if each != signal.SIGWINCH],
    )
    pidfd = os.pidfd_open(pid)
    try:
        if saved is not None:
            tty.setraw(0)
        poll = select.poll()
        poll.register(multiplexer, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        if interactive:
            poll.register(0, select.POLLIN)
        _copy(poll, multiplexer, pidfd)
        _, status = os.waitpid(pid, 0)
        _drain(multiplexer)
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        forwarding.close()
        signal.signal(signal.SIGWINCH, previous)
        os.close(pidfd)
        os.close(multiplexer)
    return supervise.exit_status(status)


def _copy(poll, multiplexer: int, pidfd: int) -> None:  # type: ignore[no-untyped-def]  # select.poll has no name
    """Until init has ended."""
    from rootless.files import write_all

    while True:
        ready = {fd for fd, _ in poll.poll()}
        if multiplexer in ready and not _pass_on(multiplexer, 1):
            poll.unregister(multiplexer)
        if 0 in ready:
            content = os.read(0, _CHUNK)
            if content:
                write_all(multiplexer, content)
            else:
                # End of file on a pipe: a terminal says it with Ctrl-D.
                write_all(multiplexer, b"\x04")
                poll.unregister(0)
        if pidfd in ready:
            return


def _pass_on(source: int, target: int) -> bool:
    from rootless.files import write_all

    try:
        content = os.read(source, _CHUNK)
    except OSError:  # EIO: the last process on the terminal closed it
        return False
    write_all(target, content)
    return bool(content)


def _drain(multiplexer: int) -> None:
    """What was written before the end and not read yet."""
    os.set_blocking(multiplexer, False)
    while _pass_on(multiplexer, 1):
        pass


def copy_size(multiplexer: int) -> None:
    """Give the container's terminal the size of ours, if we have one."""
    from fcntl import ioctl
    from termios import TIOCGWINSZ, TIOCSWINSZ

    for fd in (0, 1, 2):
        try:
            size = ioctl(fd, TIOCGWINSZ, bytes(8))
        except OSError:
            continue
        ioctl(multiplexer, TIOCSWINSZ, size)
        return
