"""Port mappings: what ``-p`` says, as values.  Pure."""

from __future__ import annotations

from typing import NamedTuple


class PortMapping(NamedTuple):
    """A port of the host that leads to a port of the container; ``host_ip`` empty means all."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str = "tcp"
