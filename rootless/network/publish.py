"""The host's side of published ports: which are free, and a clear error for one that is not."""

from __future__ import annotations

import errno

from rootless.errors import Conflict, HostLacks
from rootless.network.ports import check_conflicts, host_text
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from _socket import socket

    from rootless.network.ports import PortMapping

_BACKLOG = 512
_FIRST_FREE_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def assign(mappings: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
    """The mappings with each "any free port" replaced by a port that is free now.

    Checks the others too, and holds all of them bound while it looks, so it never answers one port
    twice.  Raises Conflict for one that is taken and HostLacks for one the caller may not have.
    """
    if not mappings:
        return ()
    check_conflicts(mappings)
    held: list[socket] = []
    try:
        # The fixed ones first: a free port must not be one that a later mapping names.
        found = {each: _bind(each, held) for each in mappings if _is_fixed(each)}
        return tuple(found[each] if _is_fixed(each) else _bind(each, held) for each in mappings)
    finally:
        for each in held:
            each.close()


def _is_fixed(mapping: PortMapping) -> bool:
    return bool(mapping.host_port) and not mapping.host_last


def _bind(mapping: PortMapping, held: list[socket]) -> PortMapping:
    """Bind the first port that the mapping allows."""
    last = mapping.host_last or mapping.host_port
    for port in range(mapping.host_port, last + 1):
        try:
            bound = _socket(mapping, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port < last:
                continue
            raise refusal(mapping._replace(host_port=port, host_last=0), error.errno or 0) from None
        held.append(bound)
        return mapping._replace(host_port=bound.getsockname()[1], host_last=0)
    raise AssertionError("a range holds at least one port")


def listen(mapping: PortMapping) -> socket:
    """A socket that has the host's port of a mapping.  Raises Conflict or HostLacks."""
    try:
        return _socket(mapping, mapping.host_port)
    except OSError as error:
        raise refusal(mapping, error.errno or 0) from None


def _socket(mapping: PortMapping, port: int) -> socket:
    """Bind; no address means IPv4 and IPv6, where the kernel has IPv6."""
    import _socket as kernel  # the socket module costs 3 ms and adds nothing here

    families = (kernel.AF_INET6, kernel.AF_INET) if not mapping.host_ip else ()
    for family in families or ((kernel.AF_INET6 if ":" in mapping.host_ip else kernel.AF_INET),):
        try:
            return _bound(mapping, port, family)
        except OSError as error:
            if family == kernel.AF_INET or error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise
            if mapping.host_ip:
                raise
    raise AssertionError("IPv4 is the last family")


def _bound(mapping: PortMapping, port: int, family: int) -> socket:
    import _socket as kernel

    is_tcp = mapping.protocol == "tcp"
    kind = kernel.SOCK_STREAM if is_tcp else kernel.SOCK_DGRAM
    bound = kernel.socket(family, kind | kernel.SOCK_CLOEXEC)
    try:
        if is_tcp:
            # A port in TIME_WAIT is free; for UDP the option would share a port that is in use.
            bound.setsockopt(kernel.SOL_SOCKET, kernel.SO_REUSEADDR, 1)
        if family == kernel.AF_INET6:
            bound.setsockopt(kernel.IPPROTO_IPV6, kernel.IPV6_V6ONLY, int(bool(mapping.host_ip)))
        wild = "::" if family == kernel.AF_INET6 else "0.0.0.0"
        bound.bind((mapping.host_ip or wild, port))
        if is_tcp:
            bound.listen(_BACKLOG)  # with SO_REUSEADDR only a listener meets another listener
    except BaseException:
        bound.close()
        raise
    return bound


def refusal(mapping: PortMapping, number: int) -> Conflict | HostLacks:
    """What bind(2) failing with errno ``number`` means to the user."""
    import os

    where = f"{host_text(mapping)}/{mapping.protocol}"
    if number == errno.EADDRINUSE:
        return Conflict(
            f"port {where} is already in use", hint="publish another port, or stop its user"
        )
    if number == errno.EACCES:
        first = _first_free_port()
        return HostLacks(
            f"port {where} is reserved for root: ports below {first} are",
            hint=f"publish {mapping.host_port + 8000}, or as root: "
            f"sysctl net.ipv4.ip_unprivileged_port_start={mapping.host_port}",
        )
    if number == errno.EADDRNOTAVAIL:
        return HostLacks(
            f"{mapping.host_ip} is not an address of this host", hint="ip address shows them"
        )
    return HostLacks(f"cannot listen on port {where}: {os.strerror(number)}")


def _first_free_port() -> int:
    try:
        with open(_FIRST_FREE_PORT) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024
