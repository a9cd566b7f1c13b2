"""MONITOR: sd_notify(3) for a container - what systemd is told on its behalf, and what its program says itself.

The program gets a socket of its own; what it says is passed on line by line, but for what is none of
its business: which process is the service's main one, and descriptors to keep.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

_PASSED_ON = (
    b"READY=1",
    b"RELOADING=1",
    b"STOPPING=1",
    b"STATUS=",
    b"ERRNO=",
    b"EXIT_STATUS=",
    b"WATCHDOG=",
    b"MONOTONIC_USEC=",
    b"EXTEND_TIMEOUT_USEC=",
)
_MAX_MESSAGE = 4096


def address_of(text: str) -> str | bytes | None:
    """NOTIFY_SOCKET as connect(2) wants it: a path, or ``@name`` for an abstract one; None for others."""
    if text.startswith("@"):
        return b"\0" + text[1:].encode()
    return text if text.startswith("/") else None


def tell(*lines: str) -> None:
    """Tell the service manager of the caller; nothing happens without one, or when it has gone."""
    _send(b"\n".join(line.encode() for line in lines))


def _send(message: bytes) -> None:
    address = address_of(os.environ.get("NOTIFY_SOCKET", ""))
    if address is None:
        return
    endpoint = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        endpoint.sendto(message, address)
    except OSError:
        pass
    finally:
        endpoint.close()


def listen(path: str) -> socket:
    """The socket that a container's program gets.  Its directory is closed to others on the host."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    endpoint = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        endpoint.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        os.chmod(path, 0o666)  # whoever the program runs as inside
    finally:
        os.close(directory)
    endpoint.setblocking(False)
    return endpoint


def pass_on(endpoint: socket, main_pid: int) -> None:
    """What the program said, to the service manager; READY=1 also says whom to watch (0: nobody)."""
    try:
        message = endpoint.recv(_MAX_MESSAGE)
    except OSError:
        return
    lines = [line for line in message.split(b"\n") if line.startswith(_PASSED_ON)]
    if b"READY=1" in lines and main_pid:
        lines.append(b"MAINPID=%d" % main_pid)
    if lines:
        _send(b"\n".join(lines))
