"""Port mappings: what ``-p`` and ``--expose`` say, as values.  Pure."""

from __future__ import annotations

from rootless.errors import Conflict, InvalidRequest, Unsupported
from rootless.typed import NamedTuple

PROTOCOLS = ("tcp", "udp")


class PortMapping(NamedTuple):
    """A port of the host that leads to a port of the container; ``host_ip`` empty means all.

    ``host_port`` 0 asks for any free one; ``host_last`` not 0 for a free one from ``host_port`` to it.
    """

    host_ip: str
    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_last: int = 0

    def __str__(self) -> str:
        return f"{host_text(self)}->{self.container_port}/{self.protocol}"


def host_text(mapping: PortMapping) -> str:
    """The host's side as a person reads it: ``0.0.0.0:8080``, ``[::1]:53``."""
    address = mapping.host_ip or "0.0.0.0"
    return (
        f"[{address}]:{mapping.host_port}" if ":" in address else f"{address}:{mapping.host_port}"
    )


def parse_ports(text: str) -> tuple[PortMapping, ...]:
    """The mappings of one ``-p``: ``[[address:]host[-last]:]container[-last][/protocol]``.

    Ranges of equal length pair up; a range of the host for one port of the container means one of them.
    """
    rest, slash, protocol = text.partition("/")
    protocol = _protocol(text, protocol if slash else "tcp")
    address, host, container = _split(text, rest)
    first, last = _range(text, container)
    if host in ("", "0"):
        return tuple(PortMapping(address, 0, port, protocol) for port in range(first, last + 1))
    host_first, host_last = _range(text, host)
    if first == last and host_first != host_last:
        return (PortMapping(address, host_first, first, protocol, host_last),)
    if host_last - host_first != last - first:
        raise _invalid(text, "the ranges differ in length")
    return tuple(
        PortMapping(address, host_first + index, first + index, protocol)
        for index in range(last - first + 1)
    )


def parse_exposed(text: str) -> tuple[tuple[int, str], ...]:
    """The (port, protocol) pairs of ``--expose`` and of an image's ``ExposedPorts``: ``80-81/tcp``."""
    rest, slash, protocol = text.partition("/")
    protocol = _protocol(text, protocol if slash else "tcp")
    first, last = _range(text, rest)
    return tuple((port, protocol) for port in range(first, last + 1))


def publish_all(
    exposed: tuple[tuple[int, str], ...], mappings: tuple[PortMapping, ...]
) -> tuple[PortMapping, ...]:
    """``-P``: the mappings, and any free port of the host for each exposed port without one."""
    taken = {(each.container_port, each.protocol) for each in mappings}
    more = (PortMapping("", 0, port, protocol) for port, protocol in dict.fromkeys(exposed))
    return (
        *mappings,
        *(each for each in more if (each.container_port, each.protocol) not in taken),
    )


def check_conflicts(mappings: tuple[PortMapping, ...]) -> None:
    """Raise Conflict when two mappings want the same port of the host."""
    seen: dict[tuple[int, str], list[PortMapping]] = {}
    for mapping in mappings:
        if not mapping.host_port or mapping.host_last:
            continue
        others = seen.setdefault((mapping.host_port, mapping.protocol), [])
        for other in others:
            if _addresses_meet(mapping.host_ip, other.host_ip):
                raise Conflict(f"port {host_text(mapping)}/{mapping.protocol} is published twice")
        others.append(mapping)


def _addresses_meet(one: str, other: str) -> bool:
    wild = ("", "0.0.0.0", "::")
    if one == other or "" in (one, other):
        return True
    # 0.0.0.0 and [::] are two sockets (IPV6_V6ONLY); a wildcard meets each address of its family.
    return (":" in one) == (":" in other) and (one in wild or other in wild)


def _split(text: str, rest: str) -> tuple[str, str, str]:
    """(address, host ports, container ports), the first two perhaps empty."""
    address = ""
    if rest.startswith("["):
        address, closed, rest = rest[1:].partition("]:")
        if not closed:
            raise _invalid(text, "an IPv6 address is written [address]:host:container")
        if not _is_ipv6(address):
            raise _invalid(text, f"{address} is not an address")
        host, colon, container = rest.rpartition(":")
        if not colon and not container:
            raise _invalid(text, "the container's port is missing")
    else:
        left, _, container = rest.rpartition(":")
        address, colon, host = left.rpartition(":")
        if colon and not _is_ipv4(address):
            remedy = "write an IPv6 address as [address]" if ":" in address else "not an address"
            raise _invalid(text, f"{address or 'nothing'}: {remedy}")
    return address, host, container


def _protocol(text: str, protocol: str) -> str:
    name = protocol.lower()
    if name == "sctp":
        raise Unsupported(
            f"cannot publish {text}: no user-mode network carries SCTP", hint="use --network host"
        )
    if name not in PROTOCOLS:
        raise _invalid(text, f"the protocol {protocol or '(none)'} is neither tcp nor udp")
    return name


def _range(text: str, ports: str) -> tuple[int, int]:
    first, dash, last = ports.partition("-")
    if not dash:
        last = first
    if not (_is_number(first) and _is_number(last)):
        raise _invalid(text, f"{ports or '(none)'} is not a port or a range of ports")
    start, end = int(first), int(last)
    if not 1 <= start <= end <= 65535:
        raise _invalid(text, "ports are 1 to 65535, the first of a range not above the last")
    return start, end


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(_is_number(part) and int(part) <= 255 for part in parts)


def _is_ipv6(text: str) -> bool:
    from ipaddress import AddressValueError, IPv6Address  # 4 ms, rarely needed

    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _invalid(text: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"invalid port mapping {text}: {why}",
        hint="write [address:]host:container[/udp], as in 127.0.0.1:8080:80",
    )
