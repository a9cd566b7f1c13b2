"""A helper program that carries packets: started without delay, tied to our life, heard when it fails.

HOST SIDE.  The helper is a child of the process that supervises the container.
"""

from __future__ import annotations

import fcntl
import os

from rootless.errors import HostLacks
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import _socket

_SIGKILL = 9
_SIGPIPE = 13
_WORDS_BYTES = 8192
_READY_TIMEOUT_S = 10.0
READY_FD = 3
DIRECTORY_FD = 4


class Helper:
    """One running helper.  It is killed by ``close`` and by the end of this process, however that comes.

    The helper says that it is ready by writing anything to its descriptor ``ready_fd``.  ``directory``
    becomes its descriptor DIRECTORY_FD, by which a path in it is short enough for a socket's address.
    """

    def __init__(self, argv: list[str], *, ready_fd: int = READY_FD, directory: int = -1):
        _dying[:] = [pidfd for pidfd in _dying if not _reap(pidfd, wait=False)]
        self.name = os.path.basename(argv[0])
        self._words = _bounded_file()
        self._ready, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = _spawn(
                argv, words=self._words, ready=ready_write, ready_fd=ready_fd, directory=directory
            )
        except OSError as error:
            os.close(self._ready)
            os.close(self._words)
            raise HostLacks(f"cannot start {argv[0]}: {error.strerror}") from None
        finally:
            os.close(ready_write)
        self._lifeline = _tie(self.pid)
        self.pidfd = os.pidfd_open(self.pid)
        self._closed = False

    def wait_ready(self) -> bool:
        """Wait until it is ready; False when it ended instead.  Raises HostLacks when it takes too long."""
        if self._ready < 0:
            return True
        if not _readable(self._ready, _READY_TIMEOUT_S):
            raise HostLacks(f"{self.name} did not get ready within {_READY_TIMEOUT_S:.0f} seconds")
        answer = os.read(self._ready, 64)
        os.close(self._ready)
        self._ready = -1
        return bool(answer)

    def has_ended(self) -> bool:
        return self._closed or _readable(self.pidfd, 0)

    def words(self) -> str:
        """The last line that it wrote to its standard error."""
        text = os.pread(self._words, _WORDS_BYTES, 0).rstrip(b"\0").decode(errors="replace")
        lines = [line for line in text.splitlines() if line and "to syslog" not in line]
        return lines[-1].strip() if lines else "it gave no reason"

    def lifeline(self) -> tuple[int, ...]:
        """The descriptors that keep it alive: it is killed when one of them is closed."""
        return tuple(end.fileno() for end in self._lifeline)

    def close(self, *, wait: bool) -> None:
        """Kill it, if it still runs.  Its end takes 10-50 ms; wait only when its ports must be free then."""
        if self._closed:
            return
        self._closed = True
        for end in self._lifeline:
            end.close()
        for fd in (self._ready, self._words):
            if fd >= 0:
                os.close(fd)
        if not _reap(self.pidfd, wait=wait):
            _dying.append(self.pidfd)


_dying: list[int] = []
"""Helpers that were killed and not waited for; a monitor that restarts a container meets them again."""


def _reap(pidfd: int, *, wait: bool) -> bool:
    """Take the exit status of a child and close its descriptor; False when it has not ended yet."""
    try:
        if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | (0 if wait else os.WNOHANG)) is None:
            return False
    except ChildProcessError:
        pass  # somebody waited for all children at once
    os.close(pidfd)
    return True


def _spawn(argv: list[str], *, words: int, ready: int, ready_fd: int, directory: int) -> int:
    words, ready = _moved_up(words), _moved_up(ready)
    given = [(words, 1), (words, 2), (ready, ready_fd)]
    if directory >= 0:
        directory = _moved_up(directory)
        given.append((directory, DIRECTORY_FD))
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            {"PATH": os.defpath, "LC_ALL": "C"},
            file_actions=[
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_DUP2, fd, number) for fd, number in given),
            ],
            # Ctrl-C is for the container; pasta of 2023 does not start with SIGPIPE ignored.
            setsid=True,
            setsigmask=(),
            setsigdef=(_SIGPIPE,),
        )
    finally:
        for fd in {fd for fd, _ in given}:
            os.close(fd)


def _moved_up(fd: int) -> int:
    """A copy above the numbers that the helper is given, so that no dup2 hits the source of another."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _inherited() -> list[int]:
    """Descriptors that our caller gave us beyond 0-2: a helper that kept a pipe would keep its reader waiting."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            pass  # the one that listed the directory
    return found


def _tie(pid: int) -> tuple[_socket.socket, _socket.socket]:
    """Have the kernel kill ``pid`` when this process ends; closing either end does the same.

    Neither prctl's parent-death signal (posix_spawn cannot ask for it) nor a descriptor that the
    helper watches (pasta has no such option) would do.  Whichever end is closed first, the kernel
    tells the owner of the other by the signal that was chosen here (fcntl(2), O_ASYNC, F_SETSIG).
    """
    from _socket import socketpair

    ends = socketpair()
    for end in ends:
        fd = end.fileno()
        fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, pid)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    return ends


def _bounded_file() -> int:
    """A file in memory that cannot grow: a helper may write errors for as long as the container lives."""
    fd = os.memfd_create("helper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _WORDS_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd


def _readable(fd: int, timeout_s: float) -> bool:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
