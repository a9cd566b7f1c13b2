"""What the ``network`` commands are asked: one field a flag."""

from __future__ import annotations

from rootless.typed import NamedTuple


class NetworkCreateRequest(NamedTuple):
    """``network create``; ``subnet`` and ``gateway`` go together one to one, as far as they go."""

    name: str
    driver: str = "bridge"
    subnet: tuple[str, ...] = ()
    ip_range: tuple[str, ...] = ()
    gateway: tuple[str, ...] = ()
    internal: bool = False
    ipv6: bool = False
    disable_dns: bool = False
    label: tuple[str, ...] = ()  # K=V
    opt: tuple[str, ...] = ()  # K=V: mtu
    ignore: bool = False


class NetworkConnectRequest(NamedTuple):
    """``network connect``."""

    network: str
    container: str
    alias: tuple[str, ...] = ()
    ip: str | None = None
    ip6: str | None = None
    mac_address: str | None = None


class NetworkDisconnectRequest(NamedTuple):
    """``network disconnect``."""

    network: str
    container: str
    force: bool = False


class NetworkListRequest(NamedTuple):
    """``network ls``; filters are K=V."""

    filter: tuple[str, ...] = ()


class NetworkRemoveRequest(NamedTuple):
    """``network rm``; ``force`` removes the containers too."""

    networks: tuple[str, ...]
    force: bool = False
    ignore: bool = False
