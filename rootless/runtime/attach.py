"""The attach socket: frames between a MONITOR and the clients that watch or feed its container.

A frame is kind, three zero bytes, a big-endian length and the content, as in docker's multiplexed
streams.  A client's first frame is HELLO with the flags of what it wants.  The socket is a file with
mode 0600 in a directory with mode 0700, and the peer's uid is checked.
"""

from __future__ import annotations

import os
import struct
from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

STDIN, STDOUT, STDERR, HELLO, RESIZE, EXIT = 0, 1, 2, 3, 4, 5
# A container that waits for it is to start its program; it runs; what kept it from that (marshal).
START, STARTED, REFUSED = 6, 7, 8
_FOR_ALL = (EXIT, STARTED, REFUSED)
HEADER = struct.Struct(">BxxxI")
WANTS_OUTPUT, GIVES_INPUT = 1, 2
LARGEST_FRAME = 1 << 20


def frame(kind: int, content: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(kind, len(content)) + content


def is_for(kind: int, flags: int) -> bool:
    """Whether a client with these flags is sent frames of that kind."""
    return kind in _FOR_ALL or bool(flags & WANTS_OUTPUT)


def split(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take the complete frames out of ``buffer``.  Raises ValueError for one that is too long."""
    frames = []
    while len(buffer) >= HEADER.size:
        kind, length = HEADER.unpack_from(buffer)
        if length > LARGEST_FRAME:
            raise ValueError("a frame is too long")
        if len(buffer) < HEADER.size + length:
            break
        frames.append((kind, bytes(buffer[HEADER.size : HEADER.size + length])))
        del buffer[: HEADER.size + length]
    return frames


def listen(path: str) -> socket:
    """Make the socket file and listen.  Long paths are reached through their directory."""
    endpoint = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    previous = os.umask(0o177)
    try:
        # sun_path holds 108 bytes, and a data directory may be deeper than that.
        endpoint.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.umask(previous)
        os.close(directory)
    endpoint.listen(16)
    endpoint.setblocking(False)
    return endpoint


def connect(path: str) -> socket:
    """Connect to a monitor.  Raises FileNotFoundError or ConnectionRefusedError when there is none."""
    endpoint = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        endpoint.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except BaseException:
        endpoint.close()
        raise
    finally:
        os.close(directory)
    return endpoint


def accept(listener: socket) -> socket | None:
    """The next client, or None when it is not the same user (or root)."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]  # the C type has it, typeshed does not
    endpoint = socket(fileno=fd)
    credentials = endpoint.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("iII", credentials)
    if uid not in (os.geteuid(), 0):
        endpoint.close()
        return None
    endpoint.setblocking(False)
    return endpoint
