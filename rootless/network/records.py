"""networks/<name>.json: what a user network is.  Reading, writing, and which subnet a new one gets."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed
from rootless.typed import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network

_LARGEST_MTU = 65520
DEFAULT = "bridge"
"""The network that ``--network bridge`` means; it is made when it is first asked for."""


class Subnet(TypedDict):
    """Addresses of a network; ``gateway`` is the bridge's own, where the resolver listens.

    From ``ip_range`` containers get theirs that ask for none.
    """

    subnet: str
    gateway: str
    ip_range: NotRequired[str]


class NetworkRecord(TypedDict):
    """One file; ``docs/state.md`` says what others may rely on."""

    name: str
    id: str
    created: str
    driver: str
    internal: bool
    dns_enabled: bool
    subnets: list[Subnet]
    labels: dict[str, str]
    options: dict[str, str]


def bridge_name(record: NetworkRecord) -> str:
    """An interface's name has 15 bytes at most, a network's name has more."""
    return f"br-{record['id'][:12]}"


def mtu_of(record: NetworkRecord) -> int:
    """As large as an IP packet may be where nothing else was said: no wire has to carry it."""
    return int(record["options"].get("mtu", _LARGEST_MTU))


def lock(directory: str, *, shared: bool = False) -> int:
    """Hold off other changes of networks; close the descriptor to give it up."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return files.open_lock(f"{directory}/networks.lock", shared=shared)


def read(directory: str, name: str) -> NetworkRecord:
    """The record of a network, by name or by the beginning of its id.  Raises NotFound."""
    try:
        return _read(f"{directory}/{name}.json")
    except FileNotFoundError:
        pass
    if len(name) >= 4:
        found = [each for each in read_all(directory) if each["id"].startswith(name)]
        if len(found) == 1:
            return found[0]
    raise NotFound(f"no network {name}", hint=f"rootless network create {name}")


def read_all(directory: str, damaged: list[StoreFailed] | None = None) -> list[NetworkRecord]:
    """All networks, by name.

    Damaged ones are added to ``damaged``.  Without it raises StoreFailed: for who must know all subnets.
    """
    found = []
    for each in files.names_in(directory):
        if each.endswith(".json"):
            try:
                found.append(_read(f"{directory}/{each}"))
            except FileNotFoundError:
                pass  # removed since the listing
            except StoreFailed as error:
                if damaged is None:
                    raise
                damaged.append(error)
    return found


def write_new(directory: str, record: NetworkRecord) -> None:
    """Write a network that must not exist yet.  The caller holds the lock."""
    import json

    path = f"{directory}/{record['name']}.json"
    if os.path.exists(path):
        raise Conflict(f"network {record['name']} exists")
    files.write_atomic(path, json.dumps(record, indent=1).encode())


def remove(directory: str, name: str) -> None:
    """Forget a network.  The caller holds the lock."""
    os.unlink(f"{directory}/{name}.json")
    files.sync_directory(directory)


def _read(path: str) -> NetworkRecord:
    import json

    try:
        record: NetworkRecord = json.loads(files.read_bytes(path))
        lacking = sorted({*NetworkRecord.__annotations__} - {*record})
        if lacking:
            raise ValueError(f"it has no {lacking[0]}")
    except FileNotFoundError:
        raise
    except (OSError, TypeError, ValueError, RecursionError) as error:
        name = os.path.basename(path).removesuffix(".json")
        raise StoreFailed(
            f"the record of network {name} is damaged: {error}",
            hint=f"rootless network rm -f {name}, and make it anew",
        ) from None
    return record


def default_subnet(taken: Iterable[str], *, name: str) -> Subnet:
    """The first free /24 of 10.89-10.99; 10.88.0.0/16 for the default network.

    ``taken`` are networks in CIDR notation, of the host's routes too.
    """
    from ipaddress import ip_network

    others = [ip_network(each, strict=False) for each in taken]
    candidates = (f"10.{second}.{third}.0/24" for second in range(89, 100) for third in range(256))
    if name == DEFAULT:
        candidates = (each for each in ("10.88.0.0/16", *candidates))
    for text in candidates:
        network = ip_network(text)
        if not any(each.version == 4 and each.overlaps(network) for each in others):
            return {"subnet": text, "gateway": str(network[1])}
    raise Conflict("no free subnet is left", hint="rootless network prune, or name one by --subnet")


def given_subnet(subnet: str, gateway: str | None, taken: Iterable[str]) -> Subnet:
    """``--subnet`` and ``--gateway``.  Raises InvalidRequest, and Conflict when it overlaps another."""
    from ipaddress import ip_address

    network = _network(subnet)
    for each in map(_network, taken):
        if each.version == network.version and each.overlaps(network):
            raise Conflict(f"subnet {subnet} overlaps {each}")
    if network.num_addresses < 4:
        raise InvalidRequest(f"subnet {subnet} has no room for a container")
    chosen = str(network[1]) if gateway is None else gateway
    if not _contains(network, chosen) or str(ip_address(chosen)) in _reserved(network):
        raise InvalidRequest(
            f"gateway {gateway} is not an address in {subnet} that a host may have"
        )
    return {"subnet": str(network), "gateway": chosen}


def with_ranges(subnets: list[Subnet], ranges: Iterable[str]) -> list[Subnet]:
    """``--ip-range``: each belongs to the subnet that it is a part of.  Raises InvalidRequest."""
    chosen = list(subnets)
    for text in ranges:
        wanted = _network(text)
        fitting = (
            number
            for number, each in enumerate(chosen)
            if wanted[0] in (whole := _network(each["subnet"])) and wanted[-1] in whole
        )
        place = next(fitting, None)
        if place is None:
            known = ", ".join(each["subnet"] for each in subnets)
            raise InvalidRequest(f"--ip-range {text} is no part of {known}", hint="give --subnet")
        chosen[place] = {**chosen[place], "ip_range": str(wanted)}
    return chosen


def random_subnet6() -> Subnet:
    """A unique local /64 (RFC 4193): random, so that no two hosts' networks meet."""
    digits = os.urandom(5).hex()
    prefix = f"fd{digits[:2]}:{digits[2:6]}:{digits[6:]}"
    return {"subnet": f"{prefix}::/64", "gateway": f"{prefix}::1"}


def _network(text: str) -> IPv4Network | IPv6Network:
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidRequest(f"invalid subnet {text}", hint="write it as 10.90.0.0/24") from None


def _contains(network: IPv4Network | IPv6Network, address: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(address) in network
    except ValueError:
        return False


def _reserved(network: IPv4Network | IPv6Network) -> tuple[str, ...]:
    """What no host of a network may have."""
    return (str(network[0]), str(network[-1])) if network.version == 4 else (str(network[0]),)


def free_address(subnet: Subnet, taken: Iterable[str]) -> str:
    """The lowest address of a subnet, or of its range, that nobody has.  Raises Conflict when it is full."""
    from ipaddress import ip_address

    used = {int(ip_address(each)) for each in taken} | {int(ip_address(subnet["gateway"]))}
    first, last = (int(ip_address(each)) for each in ends_of_range(subnet))
    for number in range(first, last + 1):
        if number not in used:
            return str(ip_address(number))
    raise Conflict(f"all addresses of {subnet.get('ip_range') or subnet['subnet']} are in use")


def ends_of_range(subnet: Subnet) -> tuple[str, str]:
    """The first and the last address that a container gets which chooses none."""
    network = _network(subnet["subnet"])
    first, last = network[2], network[-1 - (network.version == 4)]
    if "ip_range" in subnet:
        part = _network(subnet["ip_range"])
        first, last = max(first, part[0]), min(last, part[-1])
    return str(first), str(last)


def holds(subnet: Subnet, address: str) -> bool:
    """Whether an address is one of a subnet's."""
    return _contains(_network(subnet["subnet"]), address)


def check_address(record: NetworkRecord, address: str, taken: Iterable[str]) -> None:
    """Raise InvalidRequest or Conflict unless a container may have ``address`` on a network."""
    from ipaddress import ip_address

    try:
        wanted = ip_address(address)
    except ValueError:
        raise InvalidRequest(f"{address} is not an address") from None
    if not any(holds(each, address) for each in record["subnets"]):
        subnets = ", ".join(each["subnet"] for each in record["subnets"])
        lacks = wanted.version == 6 and ":" not in subnets
        raise InvalidRequest(
            f"{address} is not in network {record['name']} ({subnets})",
            hint="network create --ipv6 makes one that has IPv6" if lacks else None,
        )
    if any(str(wanted) in _reserved(_network(each["subnet"])) for each in record["subnets"]):
        raise InvalidRequest(f"{address} means all of network {record['name']}, or its broadcast")
    if any(wanted == ip_address(each["gateway"]) for each in record["subnets"]):
        raise Conflict(f"{address} is the gateway of network {record['name']}")
    if any(wanted == ip_address(each) for each in taken):
        raise Conflict(f"{address} is in use on network {record['name']}")
