"""Showing a container the address of a published port's client.  Runs in the relay's process.

The relay binds its side to the client's address, which is not the container's (IP_TRANSPARENT, ip(7)).
Answers from a published port go to that address, and would leave by the default route: a routing rule
sends them back to the loopback, where the relay's socket is.  TCP only: a UDP server has no source
address yet when its answer is routed.
"""

from __future__ import annotations

import struct
from _socket import (
    AF_INET,
    AF_NETLINK,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOCK_STREAM,
    inet_aton,
    socket,
)

_RTM_NEWROUTE = 24
_RTM_NEWRULE = 32
_FLAGS = 0x605  # NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TABLE = 213
_PRIORITY = 213
_LOOPBACK_INDEX = 1
_TCP = 6
_IP_TRANSPARENT = 19
_IP_BIND_ADDRESS_NO_PORT = 24


def prepare(address: str, ports: tuple[int, ...]) -> bool:
    """Have answers from these TCP ports of ``address`` come back to us; False where the kernel cannot."""
    endpoint = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
    try:
        _ask(endpoint, _RTM_NEWROUTE, _local_route())
        for port in ports:
            _ask(endpoint, _RTM_NEWRULE, _rule(address, port))
    except OSError:
        return False
    finally:
        endpoint.close()
    return True


def _ask(endpoint: socket, kind: int, content: bytes) -> None:
    """One request of rtnetlink(7).  Raises OSError with the kernel's answer."""
    endpoint.send(_HEADER.pack(_HEADER.size + len(content), kind, _FLAGS, 1, 0) + content)
    answer = endpoint.recv(4096)
    (number,) = struct.unpack_from("=i", answer, _HEADER.size)
    if number:
        raise OSError(-number, "rtnetlink")


def _local_route() -> bytes:
    """``ip route add local default dev lo table 213``."""
    # struct rtmsg: family, two lengths, tos, table, protocol boot, scope host, type local, flags
    header = struct.pack("=8BI", AF_INET, 0, 0, 0, _TABLE, 3, 254, 2, 0)
    return header + _attribute(4, struct.pack("=i", _LOOPBACK_INDEX))


def _rule(address: str, port: int) -> bytes:
    """``ip rule add from ADDRESS ipproto tcp sport PORT lookup 213`` (Linux 4.17)."""
    # struct fib_rule_hdr: family, two lengths, tos, table, two reserved, action lookup, flags
    header = struct.pack("=8BI", AF_INET, 0, 32, 0, _TABLE, 0, 0, 1, 0)
    return b"".join(
        (
            header,
            _attribute(2, inet_aton(address)),
            _attribute(6, struct.pack("=I", _PRIORITY)),
            _attribute(22, struct.pack("=B", _TCP)),
            _attribute(23, struct.pack("=HH", port, port)),
        )
    )


def _attribute(kind: int, content: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(size, kind) + content + bytes(-size % 4)


def seen_as(client: str, instead: str) -> str:
    """The address under which a client is shown: ``instead`` for one that IPv4 or safety cannot show.

    A program may trust its own loopback; a client on the host's is not it.
    """
    address = client.removeprefix("::ffff:")
    if ":" in address or address.startswith("127."):
        return instead
    return address


def new_socket(source: str | None) -> socket:
    """A socket for a connection into the container, coming from ``source``."""
    made = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
    if source is not None:
        try:
            made.setsockopt(0, _IP_TRANSPARENT, 1)
            made.setsockopt(0, _IP_BIND_ADDRESS_NO_PORT, 1)
            made.bind((source, 0))
        except OSError:
            made.close()
            raise
    return made
