"""Commands on user networks."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.each import each, say_nothing
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.cli.template_run import Fields
    from rootless.network.records import NetworkRecord, Subnet

_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Subnets": "SUBNETS",
    "Internal": "INTERNAL",
    "IPv6": "IPV6",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
    "Scope": "SCOPE",
}
_SHOWN = ("ID", "Name", "Driver", "Subnets")
_SHORT_ID = 12


def network_create(name: str, **given: Any) -> None:
    """Make a network on which containers find each other by name."""
    from rootless.engine import network_creation
    from rootless.engine.network_requests import NetworkCreateRequest

    record = network_creation.create(Engine.open(), NetworkCreateRequest(name, **given))
    output.write(record["name"])


def network_ls(
    *,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    quiet: bool = False,
    no_trunc: bool = False,
    noheading: bool = False,
) -> None:
    """List networks."""
    from rootless.engine import networks
    from rootless.engine.network_requests import NetworkListRequest

    engine = Engine.open()
    found = networks.list_networks(engine, NetworkListRequest(filter))
    output.listing(
        [_row(record, whole=no_trunc) for record in found],
        _HEADERS,
        shown=_SHOWN,
        format=format,
        quiet="Name" if quiet else None,
        heading=not noheading,
        documents=map(_document, found),
    )
    output.left_out(engine.damaged)


def _row(record: NetworkRecord, *, whole: bool) -> dict[str, object]:
    subnets = [each["subnet"] for each in record["subnets"]]
    return {
        "ID": record["id"] if whole else record["id"][:_SHORT_ID],
        "Name": record["name"],
        "Driver": record["driver"],
        "Subnets": ", ".join(subnets),
        "Internal": str(record["internal"]).lower(),
        "IPv6": str(any(":" in each for each in subnets)).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record["labels"].items())),
        "CreatedAt": record["created"],
        "Scope": "local",
    }


def _document(record: NetworkRecord) -> dict[str, Any]:
    """In podman's words, and docker's where tools look for those."""
    from rootless.engine import networks

    has_ipv6 = any(":" in each["subnet"] for each in record["subnets"])
    return {
        "name": record["name"],
        "Name": record["name"],
        "id": record["id"],
        "Id": record["id"],
        "driver": record["driver"],
        "Driver": record["driver"],
        "Scope": "local",
        "network_interface": networks.interface_of(record),
        "created": record["created"],
        "Created": record["created"],
        "subnets": [_subnet(each) for each in record["subnets"]],
        "ipam_options": {"driver": "host-local"},
        "IPAM": {"Driver": "default", "Config": [_config(each) for each in record["subnets"]]},
        "ipv6_enabled": has_ipv6,
        "EnableIPv6": has_ipv6,
        "internal": record["internal"],
        "Internal": record["internal"],
        "dns_enabled": record["dns_enabled"],
        "labels": record["labels"],
        "Labels": record["labels"],
        "options": record["options"],
        "Options": record["options"],
    }


def _subnet(subnet: Subnet) -> Fields:
    """As podman describes it: a range by its first and its last address."""
    from rootless.cli.template_run import Fields
    from rootless.engine import networks

    described = Fields(subnet=subnet["subnet"], gateway=subnet["gateway"])
    if "ip_range" in subnet:
        first, last = networks.range_of(subnet)
        described["lease_range"] = {"start_ip": first, "end_ip": last}
    return described


def _config(subnet: Subnet) -> dict[str, str]:
    """As docker describes it."""
    described = {"Subnet": subnet["subnet"], "Gateway": subnet["gateway"]}
    return {**described, "IPRange": subnet["ip_range"]} if "ip_range" in subnet else described


def network_inspect(networks: tuple[str, ...], *, format: str | None = None) -> int:
    """Describe networks and who is on them."""
    from rootless.engine import networks as store

    engine = Engine.open()
    found: list[dict[str, Any]] = []

    def look(name: str) -> None:
        found.append(document(*store.inspect(engine, name)))

    code = each(networks, look, show=say_nothing, goes_on=True)
    output.documents(found, format)
    return code


def document(record: NetworkRecord, containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A network with those who are on it."""
    described = {key: _on_network(place) for key, place in containers.items()}
    return {**_document(record), "containers": described, "Containers": described}


def _on_network(place: dict[str, Any]) -> dict[str, Any]:
    cidrs = [f"{address}/{length}" for address, length in place["addresses"]]
    return {
        "name": place["name"],
        "Name": place["name"],
        "interface": place["interface"],
        "MacAddress": place["mac_address"],
        "IPv4Address": next((each for each in cidrs if ":" not in each), ""),
        "IPv6Address": next((each for each in cidrs if ":" in each), ""),
        "aliases": place["aliases"],
    }


def network_rm(networks: tuple[str, ...], *, force: bool = False, ignore: bool = False) -> int:
    """Remove networks."""
    from rootless.engine import networks as store
    from rootless.engine.network_requests import NetworkRemoveRequest

    engine = Engine.open()
    request = NetworkRemoveRequest((), force=force, ignore=ignore)
    return each(networks, lambda name: store.remove(engine, request._replace(networks=(name,))))


def network_prune(*, filter: tuple[str, ...] = ()) -> None:
    """Remove all networks that no container uses."""
    from rootless.engine import networks

    for name in networks.prune(Engine.open(), filter):
        output.write(name)


def network_connect(network: str, container: str, **given: Any) -> None:
    """Put a container on a network, at once when it runs."""
    from rootless.engine import networks
    from rootless.engine.network_requests import NetworkConnectRequest

    networks.connect(Engine.open(), NetworkConnectRequest(network, container, **given))


def network_disconnect(network: str, container: str) -> None:
    """Take a container off a network, at once when it runs."""
    from rootless.engine import networks
    from rootless.engine.network_requests import NetworkDisconnectRequest

    networks.disconnect(Engine.open(), NetworkDisconnectRequest(network, container))


def network_exists(network: str) -> int:
    """Exit with 0 if the network exists, with 1 if not."""
    from rootless.engine import networks

    return 0 if networks.exists(Engine.open(), network) else 1


def network_test(
    *, network: str = "private", format: str | None = None, refresh: bool = False
) -> int:
    """Try names, the host's address, a published port and a transfer."""
    from rootless.engine import network_test as trial

    found = trial.run(Engine.open(), mode=network, refresh=refresh)
    output.listing(
        [{"Check": each.check, "Result": each.result, "Detail": each.detail} for each in found],
        {"Check": "CHECK", "Result": "RESULT", "Detail": "DETAIL"},
        shown=("Check", "Result", "Detail"),
        format=format,
        documents=(each._asdict() for each in found),
    )
    return 1 if any(each.result == "failed" for each in found) else 0
