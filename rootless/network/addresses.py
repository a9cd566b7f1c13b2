"""The addresses of a private network, the same whichever helper carries it, so that one can replace the other.

The container has a network of its own behind address translation.  Copying the host's address into
the container instead would make the host, and every other container, unreachable by that address.
"""

from __future__ import annotations

from rootless import files
from rootless.typed import NamedTuple


class AddressPlan(NamedTuple):
    """``prefix`` is the first three bytes of a /24; IPv6 is a /64."""

    prefix: str
    prefix6: str = "fd8d:3a70:1c5e::"

    @property
    def subnet(self) -> str:
        return f"{self.prefix}.0/24"

    @property
    def gateway(self) -> str:
        return f"{self.prefix}.2"

    @property
    def resolver(self) -> str:
        """Where the helper answers for the host's own resolver."""
        return f"{self.prefix}.3"

    @property
    def address(self) -> str:
        return f"{self.prefix}.100"

    @property
    def gateway6(self) -> str:
        return f"{self.prefix6}2"

    @property
    def address6(self) -> str:
        return f"{self.prefix6}100"


_PREFIXES = ("10.0.2", "10.98.213", "172.31.213", "192.168.213")


def plan(routes: str) -> AddressPlan:
    """The first of our networks that no route of the host leads into; ``routes`` is /proc/net/route.

    A virtual machine often is 10.0.2.15 itself; its container must still reach that network.
    """
    taken = tuple(_destinations(routes))
    for prefix in _PREFIXES:
        network = _number(f"{prefix}.0")
        if not any((network ^ start) & mask & 0xFFFFFF00 == 0 for start, mask in taken):
            return AddressPlan(prefix)
    return AddressPlan(_PREFIXES[0])


def _destinations(routes: str) -> list[tuple[int, int]]:
    """The (address, mask) pairs of all routes but the default ones; the file has them byte-swapped."""
    found = []
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[7] != "00000000":
            found.append((_swapped(words[1]), _swapped(words[7])))
    return found


def _swapped(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


def _number(address: str) -> int:
    return int.from_bytes(bytes(int(part) for part in address.split(".")), "big")


def host_networks() -> list[str]:
    """The IPv4 networks that the host has routes into, as ``10.0.2.0/24``."""
    return [
        f"{'.'.join(map(str, start.to_bytes(4, 'big')))}/{mask.bit_count()}"
        for start, mask in _destinations(files.text_or_empty("/proc/net/route"))
    ]


class HostView(NamedTuple):
    """What the host's own network looks like from here."""

    plan: AddressPlan
    address: str | None  # by which the host is reached from a container
    address6: str | None
    loopback_resolver: bool  # the host's resolvers are all on its loopback


def look() -> HostView:
    """Read the host's routes, addresses and resolvers; well below a millisecond."""
    from rootless.network.names import is_loopback, parse_resolver

    servers = parse_resolver(files.text_or_empty("/etc/resolv.conf")).nameservers
    return HostView(
        plan=plan(files.text_or_empty("/proc/net/route")),
        address=_source("203.0.113.1", is_ipv6=False),
        address6=_source("2001:db8::1", is_ipv6=True),
        loopback_resolver=bool(servers) and all(is_loopback(each) for each in servers),
    )


def _source(destination: str, *, is_ipv6: bool) -> str | None:
    """The address the host would use towards the world; connect(2) of UDP asks and sends nothing."""
    from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, socket

    try:
        endpoint = socket(AF_INET6 if is_ipv6 else AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError:
        return None  # a kernel without IPv6
    try:
        endpoint.connect((destination, 9))
        address: str = endpoint.getsockname()[0]
    except OSError:
        return None
    finally:
        endpoint.close()
    return address
