"""Small ioctls and names: the loopback interface, pseudo-terminals, host names.

The loopback is raised by ioctl so that ``run`` never needs a netlink library.
"""

from __future__ import annotations

import os
import struct
from _socket import (  # the socket module costs 2 ms and adds nothing here
    AF_INET,
    AF_UNIX,
    SCM_RIGHTS,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from fcntl import ioctl

from rootless.kernel.libc import c_char_p, c_size_t, function

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_IFREQ = struct.Struct("16sh22x")  # struct ifreq with ifr_flags, netdevice(7)
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_TIOCSCTTY = 0x540E

_sethostname = function("sethostname", c_char_p, c_size_t)
_setdomainname = function("setdomainname", c_char_p, c_size_t)


def set_up(name: str = "lo") -> None:
    """Set IFF_UP on an interface of the current network namespace."""
    endpoint = socket(AF_INET, SOCK_DGRAM)
    try:
        answer = ioctl(endpoint.fileno(), _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
        flags = _IFREQ.unpack(answer)[1]
        ioctl(endpoint.fileno(), _SIOCSIFFLAGS, _IFREQ.pack(name.encode(), flags | _IFF_UP))
    finally:
        endpoint.close()


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    _sethostname(name.encode(), len(name.encode()))


def set_domainname(name: str) -> None:
    """setdomainname(2)."""
    _setdomainname(name.encode(), len(name.encode()))


def unlock_terminal(multiplexer: int) -> None:
    """Let the peer of a new pseudo-terminal be opened (ioctl_tty(2), TIOCSPTLCK)."""
    ioctl(multiplexer, _TIOCSPTLCK, struct.pack("i", 0))


def open_terminal_peer(multiplexer: int) -> int:
    """Open the other end without a path, which an image could have replaced (TIOCGPTPEER, Linux 4.13)."""
    return ioctl(multiplexer, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def take_terminal(fd: int) -> None:
    """Make ``fd`` the controlling terminal of this new session (TIOCSCTTY)."""
    ioctl(fd, _TIOCSCTTY, 0)


def descriptor_pair() -> tuple[int, int]:
    """A connected pair of sockets that can carry a descriptor."""
    one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
    return one.detach(), other.detach()


def send_descriptors(channel: int, *fds: int) -> None:
    """Send descriptors (unix(7), SCM_RIGHTS) and close the channel."""
    endpoint = socket(fileno=channel)
    rights = struct.pack(f"{len(fds)}i", *fds)
    endpoint.sendmsg([b"D"], [(SOL_SOCKET, SCM_RIGHTS, rights)])
    endpoint.close()


def receive_descriptors(channel: int) -> tuple[int, ...]:
    """Wait for descriptors; none when the other end closes instead."""
    endpoint = socket(fileno=channel)
    _, ancillary, _, _ = endpoint.recvmsg(1, 64)
    endpoint.detach()
    for _, _, content in ancillary:
        return struct.unpack(f"{len(content) // 4}i", content)
    return ()
