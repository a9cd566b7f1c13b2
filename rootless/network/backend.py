"""Network backends: how a container's network namespace reaches the world.  Protocol, table, choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rootless.network.ports import PortMapping


class NetworkRequest(NamedTuple):
    """What a container wants of its network; ``mode`` is as after ``--network``."""

    mode: str = "private"
    ports: tuple[PortMapping, ...] = ()
    options: tuple[str, ...] = ()  # after "pasta:" or "slirp4netns:"


class Attachment(NamedTuple):
    """What attaching gave: the helper's process, and the addresses for hosts and resolv.conf."""

    backend: str
    helper_pid: int | None = None
    address: str | None = None
    gateway: str | None = None
    host_address: str | None = None  # what host.containers.internal is
    nameservers: tuple[str, ...] = ()


class Backend(Protocol):
    """One implementation of networking.  All methods run on the host side."""

    name: str
    new_namespace: bool  # whether the container gets a network namespace of its own

    def addresses(self, request: NetworkRequest) -> Attachment:
        """What ``attach`` will give, known before the container exists (for hosts and resolv.conf)."""
        ...

    def attach(self, pid: int, request: NetworkRequest) -> Attachment:
        """Connect the network namespace of process ``pid``; returns when packets can flow.

        The helper must die with the container: it is given a descriptor or pid that ends it.
        Raises HostLacks or Conflict (port in use).
        """
        ...
