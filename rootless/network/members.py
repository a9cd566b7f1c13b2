"""Who is on which user network: addresses and names, in the keeper's memory.  They end with the connection."""

from __future__ import annotations

from rootless.errors import Conflict, NotFound
from rootless.network import records
from rootless.network.resolver import reverse_name
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.network.records import NetworkRecord


class Wish(NamedTuple):
    """What a container wants of one user network."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str | None = None
    address6: str | None = None
    mac_address: str | None = None
    interface: str | None = None


class Place(NamedTuple):
    """A container's place on one user network."""

    network: str
    interface: str
    addresses: tuple[tuple[str, int], ...]  # with the prefix length
    gateways: tuple[str, ...]
    mac_address: str
    aliases: tuple[str, ...]
    resolves: bool = True  # whether names are answered at the gateways


class Member:
    """One running container, or one that is about to run."""

    def __init__(self, container: str, names: tuple[str, ...], resolvers: tuple[str, ...]):
        self.container = container
        self.names = names
        self.resolvers = resolvers  # its own --dns
        self.places: dict[str, Place] = {}
        self.ends: dict[str, str] = {}  # network: our end of the veth pair, while plugged in
        self.namespace = -1  # its network namespace, once it has one
        self.outside = False  # whether one of its networks is not internal

    def __str__(self) -> str:
        return self.names[0] if self.names else self.container[:12]


class Members:
    """All of them."""

    def __init__(self, directory: str):
        self._directory = directory
        self._members: list[Member] = []
        self._turn = 0

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> None:
        if any(each.container == member.container for each in self._members):
            raise Conflict(f"container {member} is on its networks already")
        self._members.append(member)

    def remove(self, member: Member) -> None:
        if member in self._members:
            self._members.remove(member)

    def find(self, container: str) -> Member:
        for each in self._members:
            if each.container == container:
                return each
        raise NotFound(f"container {container[:12]} is on no user network and running")

    def on(self, network: str) -> list[Member]:
        return [each for each in self._members if network in each.places]

    def take_place(self, member: Member, wish: Wish) -> NetworkRecord:
        """Give a container its place on a network.  Raises NotFound, Conflict, InvalidRequest."""
        record = records.read(self._directory, wish.network)
        if record["name"] in member.places:
            raise Conflict(f"container {member} is on network {record['name']} already")
        taken = [
            address
            for each in self.on(record["name"])
            for address, _ in each.places[record["name"]].addresses
        ]
        wanted = [each for each in (wish.address, wish.address6) if each is not None]
        for each in wanted:
            records.check_address(record, each, taken)
        addresses = []
        for subnet in record["subnets"]:
            chosen = next((each for each in wanted if records.holds(subnet, each)), None)
            length = int(subnet["subnet"].partition("/")[2])
            addresses.append((chosen or records.free_address(subnet, taken), length))
        member.places[record["name"]] = Place(
            record["name"],
            wish.interface or _free_interface(member),
            tuple(addresses),
            tuple(each["gateway"] for each in record["subnets"]),
            wish.mac_address or _mac_address(addresses[0][0]),
            wish.aliases,
            record["dns_enabled"],
        )
        member.outside |= not record["internal"]
        return record

    def addresses(self, asker: str, network: str, name: str) -> list[str] | None:
        """The addresses of a name as a container sees them that asks from an address of a network."""
        found: list[str] = []
        for shared in self._visible(asker, network):
            short = name.removesuffix(f".{shared.lower()}")
            for each in self.on(shared):
                place = each.places[shared]
                if short in map(str.lower, (*each.names, *place.aliases)):
                    found.extend(address for address, _ in place.addresses)
        if not found:
            return None
        self._turn += 1  # several containers behind one alias take turns
        start = self._turn % len(found)
        return found[start:] + found[:start]

    def name_of(self, asker: str, network: str, reverse: str) -> str | None:
        """The name behind ``2.0.89.10.in-addr.arpa``."""
        for shared in self._visible(asker, network):
            for each in self.on(shared):
                for address, _ in each.places[shared].addresses:
                    if reverse == reverse_name(address):
                        return f"{each}.{shared}"
        return None

    def asking(self, asker: str, network: str) -> Member | None:
        """The member that has an address of a network."""
        for each in self.on(network):
            if any(address == asker for address, _ in each.places[network].addresses):
                return each
        return None

    def _visible(self, asker: str, network: str) -> list[str]:
        """The networks whose names a container may ask for: all that it is on, the asked one first."""
        member = self.asking(asker, network)
        others = [each for each in member.places if each != network] if member else []
        return [network, *others]


def describe(member: Member) -> dict[str, Any]:
    """For ``network inspect`` and ``inspect``."""
    return {
        "container": member.container,
        "name": str(member),
        "places": [each._asdict() for each in member.places.values()],
    }


def _free_interface(member: Member) -> str:
    used = {each.interface for each in member.places.values()}
    return next(name for name in (f"eth{number}" for number in range(256)) if name not in used)


def _mac_address(address: str) -> str:
    """A local unicast address that goes with the IP address, so that a restart looks the same to neighbours."""
    from ipaddress import ip_address

    last = ip_address(address).packed[-4:]
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *last))
