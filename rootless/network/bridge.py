"""Bridges and veth pairs of the user's network namespace.  WORKER: root of the keeper's user namespace.

The only importer of pyroute2.  A container's network namespace belongs to the same user namespace,
for the kernel moves an interface only where the mover has CAP_NET_ADMIN on both sides.
"""

from __future__ import annotations

import os

from pyroute2 import IPRoute  # type: ignore[import-untyped]  # has no types
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from rootless import files
from rootless.errors import HostLacks
from rootless.kernel import namespace
from rootless.network.records import bridge_name, mtu_of
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.network.records import NetworkRecord

_EEXIST = 17
_NODAD = 2  # IFA_F_NODAD: addresses are ours to give, so nobody needs to ask whether they are free


class Endpoint(NamedTuple):
    """One end of a veth pair in a container: on which bridge, and what it is called and has inside.

    ``addresses`` are pairs of an address and its prefix length.
    """

    bridge: str
    interface: str
    addresses: tuple[tuple[str, int], ...]
    mac_address: str
    mtu: int


class Switch:
    """The network namespace of this process and what is in it."""

    def __init__(self) -> None:
        self._here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._routes = IPRoute()
        self._set_up("lo")

    def add_bridge(self, record: NetworkRecord) -> None:
        """Make the bridge of a network and give it the gateways' addresses."""
        name = bridge_name(record)
        self._routes.link("add", ifname=name, kind="bridge", mtu=mtu_of(record))
        index = self._index(name)
        for each in record["subnets"]:
            length = int(each["subnet"].partition("/")[2])
            self._add_address(self._routes, index, each["gateway"], length)
        self._routes.link("set", index=index, state="up")

    def remove_bridge(self, record: NetworkRecord) -> None:
        self._routes.link("del", index=self._index(bridge_name(record)))

    def attach(self, endpoint: Endpoint, target: int) -> str:
        """Plug a network namespace (a descriptor) into a bridge; returns the name of our end."""
        ours = f"v{files.random_name(6)}"
        peer = {
            "ifname": endpoint.interface,
            "net_ns_fd": target,
            "address": endpoint.mac_address,
            "mtu": endpoint.mtu,
        }
        master = self._index(endpoint.bridge)
        try:
            self._routes.link(
                "add",
                ifname=ours,
                kind="veth",
                peer=peer,
                mtu=endpoint.mtu,
                master=master,
                state="up",
            )
            self._configure(endpoint, target)
        except NetlinkError as error:
            self.detach(ours)
            raise HostLacks(
                f"cannot connect {endpoint.interface} to {endpoint.bridge}: {os.strerror(error.code)}"
            ) from None
        return ours

    def _configure(self, endpoint: Endpoint, target: int) -> None:
        """Address and raise the container's end."""
        with self._inside(target) as routes:
            index = routes.link_lookup(ifname=endpoint.interface)[0]
            for address, length in endpoint.addresses:
                self._add_address(routes, index, address, length)
            routes.link("set", index=index, state="up")

    def detach(self, ours: str) -> None:
        """Unplug; the other end disappears with it.  It may be gone already, with its namespace."""
        found = self._routes.link_lookup(ifname=ours)
        if found:
            self._routes.link("del", index=found[0])

    def _inside(self, target: int) -> IPRoute:
        """A netlink socket of another network namespace: it stays where it was made."""
        namespace.join(target, namespace.CLONE_NEWNET)
        try:
            return IPRoute()
        finally:
            namespace.join(self._here, namespace.CLONE_NEWNET)

    def _set_up(self, name: str) -> None:
        self._routes.link("set", index=self._index(name), state="up")

    def _index(self, name: str) -> int:
        return int(self._routes.link_lookup(ifname=name)[0])

    @staticmethod
    def _add_address(routes: IPRoute, index: int, address: str, length: int) -> None:
        flags = {"flags": _NODAD} if ":" in address else {}
        try:
            routes.addr("add", index=index, address=address, prefixlen=length, **flags)
        except NetlinkError as error:
            if error.code != _EEXIST:
                raise
