"""A process of ours that publishes ports where the helper cannot: sockets of the host, connections inside.

HOST SIDE forks it; it enters the container's user and network namespaces with the listening sockets
in hand.  So a port is ours before the container starts, and the container's root sees no process.
"""

from __future__ import annotations

import os
import signal

from rootless.errors import HostLacks
from rootless.kernel import process
from rootless.network import forward, inside, publish, transparent
from rootless.network.forward import Source
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.ports import PortMapping


class Relay:
    """One running relay; it dies with the process that started it.

    Raises Conflict or HostLacks for a port that cannot be had.  The caller should be single-threaded.
    """

    def __init__(self, pid: int, mappings: tuple[PortMapping, ...], *, address: str, gateway: str):
        sockets = [(publish.listen(each), each) for each in mappings]
        self._ready, ready_write = os.pipe2(os.O_CLOEXEC)
        sources = tuple(
            Source(bound.fileno(), each.protocol == "udp", address, each.container_port)
            for bound, each in sockets
        )
        self.pid = inside.fork(
            lambda: _run(pid, sources, gateway, ready_write),
            name="ports",
            kept=(ready_write, *(source.descriptor for source in sources)),
        )
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
        """Whether the process is gone, or was told to go."""
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


def _run(pid: int, sources: tuple[Source, ...], gateway: str, ready: int) -> None:
    """In the forked child."""
    try:
        inside.enter(pid)
        process.set_parent_death_signal(signal.SIGKILL)  # the new credentials cleared it
        process.set_no_new_privileges()
        ports = tuple(dict.fromkeys(each.port for each in sources if not each.is_udp))
        if ports and transparent.prepare(sources[0].address, ports):
            sources = tuple(each._replace(gateway=gateway) for each in sources)
        forward.raise_descriptor_limit()
        os.write(ready, b"ready")
        os.close(ready)
    except OSError as error:
        os.write(ready, str(error).encode()[:256])
        raise
    forward.serve(sources)
