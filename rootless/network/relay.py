"""A process of ours that publishes ports where the helper cannot: sockets of the host, connections inside.

HOST SIDE forks it; it enters the container's user and network namespaces with the listening sockets
in hand.  So a port is ours before the container starts, and the container's root sees no process.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from rootless.errors import HostLacks
from rootless.kernel import namespace, process
from rootless.network import forward, publish
from rootless.network.forward import Source

if TYPE_CHECKING:
    from rootless.network.ports import PortMapping

_LAST_SIGNAL = 31


class Relay:
    """One running relay; it dies with the process that started it.

    Raises Conflict or HostLacks for a port that cannot be had.  The caller should be single-threaded.
    """

    def __init__(self, pid: int, mappings: tuple[PortMapping, ...], *, address: str):
        sockets = [(publish.listen(each), each) for each in mappings]
        self._ready, ready_write = os.pipe2(os.O_CLOEXEC)
        sources = tuple(
            Source(bound.fileno(), each.protocol == "udp", address, each.container_port)
            for bound, each in sockets
        )
        self.pid = os.fork()
        if self.pid == 0:
            _run(pid, sources, ready_write)
        os.close(ready_write)
        for bound, _ in sockets:
            bound.close()
        self.pidfd = os.pidfd_open(self.pid)
        self._closed = False

    def wait(self) -> None:
        """Return when it forwards.  Raises HostLacks when it cannot."""
        answer = os.read(self._ready, 256)
        if answer != b"ready":
            words = answer.decode(errors="replace") or "the relay died"
            raise HostLacks(f"cannot publish ports into the container: {words}")

    def has_ended(self) -> bool:
        import select

        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return self._closed or bool(poll.poll(0))

    def close(self) -> None:
        """End it; its ports are free afterwards."""
        if self._closed:
            return
        self._closed = True
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except (ProcessLookupError, ChildProcessError):
            pass  # it ended, and somebody waited for all children at once
        os.close(self.pidfd)
        os.close(self._ready)


def _run(pid: int, sources: tuple[Source, ...], ready: int) -> NoReturn:
    """The forked child."""
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        process.set_name("rootless:[ports]")
        for number in range(1, _LAST_SIGNAL):
            if signal.getsignal(number) not in (signal.SIG_DFL, None):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        forward.detach_from_caller()
        _enter(pid)
        # The change of credentials may have cleared it.
        process.set_parent_death_signal(signal.SIGKILL)
        _close_all_but({ready, *(source.descriptor for source in sources)})
        process.set_no_new_privileges()
        forward.raise_descriptor_limit()
        os.write(ready, b"ready")
        os.close(ready)
        forward.serve(sources)
    except BaseException as error:
        try:
            os.write(ready, str(error).encode()[:256])
        except OSError:
            pass
    finally:
        os._exit(1)


def _enter(pid: int) -> None:
    """Join the user and network namespaces of a process."""
    for name, kind in (("user", namespace.CLONE_NEWUSER), ("net", namespace.CLONE_NEWNET)):
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespace.join(fd, kind)
        except OSError:
            if name == "net" or not _is_same(fd, f"/proc/self/ns/{name}"):
                raise  # joining one's own user namespace is an error, and needless
        finally:
            os.close(fd)


def _is_same(fd: int, path: str) -> bool:
    return os.path.samestat(os.fstat(fd), os.stat(path))


def _close_all_but(kept: set[int]) -> None:
    """Give back what the caller had open: locks above all."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the directory
