"""Whether a network helper really works on this host: it is started, and traffic is sent through it.

A helper is not taken because a program of that name exists.  pasta of 2023, on kernels younger than
it, attaches and then lets refused connections hang and downloads crawl.
"""

from __future__ import annotations

import os
import signal
import time

from rootless.errors import RootlessError
from rootless.network import addresses, inside
from rootless.network.backend import NetworkRequest
from rootless.network.ports import PortMapping
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from rootless.network.backend import Backend

TIMEOUT_S = 1.5
_BULK_BYTES = 1 << 20
_UPLOAD_MIB = 64
_UPLOADS = 6  # every second one crawls where pasta loses what it was given
_GUEST_PORT = 4242


class Findings(NamedTuple):
    """Why a helper cannot be used, why its own published ports cannot, and why another is better; or None."""

    unusable: str | None = None
    no_ports: str | None = None
    slow: str | None = None


def probe_slirp4netns(program: str) -> Findings:
    """Start slirp4netns in a throw-away namespace and use it; its own ports are never used."""
    from rootless.network.slirp4netns import Slirp4netns

    return Findings(_outbound_failure(Slirp4netns(program)))


def probe_pasta(program: str) -> Findings:
    """The same for pasta, its published ports, and whether what a container sends soon arrives."""
    from rootless.network.pasta import Pasta

    unusable = _outbound_failure(Pasta(program))
    if unusable is not None:
        return Findings(unusable, unusable)
    slow = _outbound_failure(Pasta(program), use_upload)
    return Findings(None, _ports_failure(Pasta(program)), slow)


def _outbound_failure(
    backend: Backend, use: Callable[[int, str], str | None] | None = None
) -> str | None:
    """What goes wrong between a container and a service of this host."""
    use = use or use_outbound
    try:
        with inside.NewNamespace() as pid:
            link = backend.start(pid, NetworkRequest())
            try:
                host = link.wait().host_address
                return None if host is None else use(pid, host)
            finally:
                link.close()
    except RootlessError as error:
        return error.message


def use_outbound(pid: int, host: str) -> str | None:
    """What goes wrong between the namespace of ``pid`` and this host, which it reaches as ``host``."""
    closed = _listener(host)
    port = closed.getsockname()[1]
    closed.close()
    answer = inside.call(pid, lambda: _connect_failure(host, port), name="probe")
    if answer != "refused":
        return f"a connection that the host refuses ends with: {answer}"
    server = _listener(host)
    try:
        port = server.getsockname()[1]
        sender = inside.fork(lambda: _send_bulk(server), name="probe", kept=(server.fileno(),))
        answer = inside.call(pid, lambda: _receive_bulk(host, port), name="probe")
        _end(sender)
    finally:
        server.close()
    return None if answer == "received" else f"a download from the host ends with: {answer}"


def use_upload(pid: int, host: str) -> str | None:
    """What goes wrong when the namespace of ``pid`` sends this host more than any buffer holds.

    pasta up to 2026 at least drops what does not fit, where receiver and container are on one host: the sender
    then waits for its timer again and again (0.1 Gbit/s instead of 5, measured on Linux 6.18).
    """
    for _ in range(_UPLOADS):
        answer = _upload(pid, host)
        if answer != "sent":
            return f"an upload to the host ends with: {answer}"
    return None


def _upload(pid: int, host: str) -> str:
    server = _listener(host)
    try:
        port = server.getsockname()[1]
        receiver = inside.fork(lambda: _swallow(server), name="probe", kept=(server.fileno(),))
        answer = inside.call(pid, lambda: _send_much(host, port), name="probe")
        _end(receiver)
    finally:
        server.close()
    return answer


def _ports_failure(backend: Backend) -> str | None:
    """What goes wrong with a published port that is reached by the host's address, and by loopback."""
    host = addresses.look().address or "127.0.0.1"
    try:
        with inside.NewNamespace() as pid:
            ports = free_ports()
            link = backend.start(pid, NetworkRequest(ports=ports))
            try:
                link.wait()
                return use_ports(pid, host, ports)
            finally:
                link.close()
    except RootlessError as error:
        return error.message


def free_ports() -> tuple[PortMapping, ...]:
    """One of TCP and one of UDP, both to another port inside."""
    from rootless.network.publish import assign

    wanted = (
        PortMapping("", 0, _GUEST_PORT),
        PortMapping("", 0, _GUEST_PORT, "udp"),
    )
    return assign(wanted)


def use_ports(pid: int, host: str, ports: tuple[PortMapping, ...]) -> str | None:
    """What goes wrong between this host and servers in the namespace of ``pid`` (``free_ports``)."""
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    server = inside.fork(lambda: _serve_inside(pid, ready_write), name="probe", kept=(ready_write,))
    os.close(ready_write)
    os.read(ready_read, 1)
    os.close(ready_read)
    try:
        answer = _receive_bulk(host, ports[0].host_port)
        if answer != "received":
            return f"a published port that sends first ends with: {answer}"
        answer = _ask_by_datagram("127.0.0.1", ports[1].host_port)
        return None if answer == "answered" else f"a published UDP port ends with: {answer}"
    finally:
        _end(server)


def _serve_inside(pid: int, ready: int) -> None:
    inside.enter(pid)
    server = _listener("0.0.0.0", _GUEST_PORT)
    datagrams = _new_socket(is_udp=True)
    datagrams.bind(("0.0.0.0", _GUEST_PORT))
    os.write(ready, b"+")
    _send_bulk(server)
    content, client = datagrams.recvfrom(16)
    datagrams.sendto(content, client)
    time.sleep(TIMEOUT_S)


def _new_socket(*, is_udp: bool = False) -> socket:
    import _socket as kernel

    kind = kernel.SOCK_DGRAM if is_udp else kernel.SOCK_STREAM
    made = kernel.socket(kernel.AF_INET, kind | kernel.SOCK_CLOEXEC)
    made.settimeout(TIMEOUT_S)
    return made


def _listener(address: str, port: int = 0) -> socket:
    server = _new_socket()
    server.bind((address, port))
    server.listen(1)
    return server


def _send_bulk(server: socket) -> None:
    from _socket import socket

    descriptor, _ = server._accept()  # type: ignore[attr-defined]  # of the C type
    peer = socket(fileno=descriptor)
    peer.settimeout(TIMEOUT_S)
    peer.sendall(bytes(_BULK_BYTES))
    peer.close()


def _swallow(server: socket) -> None:
    """Take all that one client sends, and say at the end that it came."""
    from _socket import socket

    descriptor, _ = server._accept()  # type: ignore[attr-defined]  # of the C type
    peer = socket(fileno=descriptor)
    buffer = bytearray(1 << 18)
    while peer.recv_into(buffer):
        pass
    peer.send(b"+")
    peer.close()


def _send_much(address: str, port: int) -> str:
    peer = _new_socket()
    end = time.monotonic() + TIMEOUT_S
    sent = 0
    try:
        peer.connect((address, port))
        while sent < _UPLOAD_MIB and time.monotonic() < end:
            peer.sendall(bytes(1 << 20))
            sent += 1
        if sent == _UPLOAD_MIB:
            peer.shutdown(1)
            return "sent" if peer.recv(1) else "no answer"
    except TimeoutError:
        pass
    except OSError as error:
        return f"{error} after {sent} MiB"
    finally:
        peer.close()
    return f"{sent} of {_UPLOAD_MIB} MiB in {TIMEOUT_S} s"


def _receive_bulk(address: str, port: int) -> str:
    """Take all that a server sends which speaks first and closes at once."""
    peer = _new_socket()
    end = time.monotonic() + TIMEOUT_S
    received = 0
    try:
        peer.connect((address, port))
        while chunk := peer.recv(1 << 16):
            received += len(chunk)
            if time.monotonic() > end:
                return f"{received} bytes in {TIMEOUT_S} s"
    except OSError as error:
        return f"{error} after {received} bytes"
    finally:
        peer.close()
    return "received" if received == _BULK_BYTES else f"{received} bytes"


def _connect_failure(address: str, port: int) -> str:
    peer = _new_socket()
    try:
        peer.connect((address, port))
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return str(error)
    finally:
        peer.close()
    return "a connection"


def _ask_by_datagram(address: str, port: int) -> str:
    peer = _new_socket(is_udp=True)
    try:
        peer.connect((address, port))
        peer.send(b"rootless")
        return "answered" if peer.recv(16) == b"rootless" else "another answer"
    except OSError as error:
        return str(error)
    finally:
        peer.close()


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
