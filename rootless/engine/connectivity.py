"""Which network a container gets: the flags of ``run`` to a backend, its texts, and its launch."""

from __future__ import annotations

import os

from rootless import events, files
from rootless.errors import Conflict, HostLacks, InvalidRequest, Unsupported
from rootless.network import names
from rootless.network.backend import NetworkRequest
from rootless.network.choice import BACKENDS, instead_of_private, pick_backend, split_mode
from rootless.typed import TYPE_CHECKING, Any
from rootless.userns.idmap import within

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.events import Report
    from rootless.image.documents import ContainerConfig
    from rootless.network.backend import Attachment, Backend
    from rootless.network.members import Wish
    from rootless.network.ports import PortMapping
    from rootless.runtime.container import Record
    from rootless.runtime.plan import LaunchPlan

USER = "bridge"
"""The mode of a container on user networks; the record's ``networks`` says which."""


def network_of(
    request: RunRequest, config: ContainerConfig
) -> tuple[NetworkRequest, tuple[Wish, ...]]:
    """``--network``, ``-p``, ``-P`` and their relatives as values.  Raises InvalidRequest."""
    _check_texts(request)
    given = _separated(request.network)
    modes = [split_mode(each) for each in given]
    ports = _ports(request, config) if request.publish or request.publish_all else ()
    if all(_is_user_network(mode) for mode, _ in modes):
        wishes = _wishes(request, given)
        options = tuple(each.network for each in wishes)
        return NetworkRequest(USER, ports, options), wishes
    if len(modes) > 1:
        raise InvalidRequest("only user networks can be combined", hint="rootless network ls")
    mode, options = modes[0]
    for flag in ("ip", "ip6", "network_alias"):
        if getattr(request, flag):
            name = flag.replace("_", "-")
            raise InvalidRequest(
                f"--{name} needs a user network", hint="rootless network create NAME"
            )
    check_mac_address(request.mac_address)
    if mode in ("container", "ns"):
        mode, options = "joined", ()
    return NetworkRequest(mode, ports, options, mac_address=request.mac_address), ()


def _check_texts(request: RunRequest) -> None:
    """Raise InvalidRequest for flags on hosts and resolv.conf that contradict each other."""
    if request.no_hosts and request.add_host:
        raise InvalidRequest("--no-hosts and --add-host exclude each other")
    more = (*request.dns[1:], *request.dns_search, *request.dns_option)
    if "none" in request.dns and more:
        raise InvalidRequest(
            "--dns none leaves resolv.conf to the image: no other --dns, --dns-search or"
            " --dns-option goes with it"
        )


def _separated(texts: tuple[str, ...]) -> tuple[str, ...]:
    """``NAME,NAME`` is short for several flags; elsewhere a comma parts options."""
    if not any("," in each for each in texts):
        return texts or ("",)
    return tuple(
        name
        for text in texts
        for name in ((text,) if ":" in text or "=" in text else text.split(","))
    )


def _ports(request: RunRequest, config: ContainerConfig) -> tuple[PortMapping, ...]:
    from rootless.network.ports import parse_exposed, parse_ports, publish_all

    ports = tuple(port for text in request.publish for port in parse_ports(text))
    if request.publish_all:
        exposed = (*(config.get("ExposedPorts") or ()), *request.expose)
        ports = publish_all(tuple(each for text in exposed for each in parse_exposed(text)), ports)
    return ports


def without_useless_ports(network: NetworkRequest, report: Report) -> NetworkRequest:
    """Where none can be published: on the host's network they are the host's anyway, and docker warns."""
    if network.mode not in ("host", "none") or not network.ports:
        return network
    where = "on the host's network" if network.mode == "host" else "without a network"
    report(events.Notice(f"published ports are discarded {where}", "warning"))
    return network._replace(ports=())


def with_ports_chosen(network: NetworkRequest) -> NetworkRequest:
    """Any free port becomes a certain one, which the container keeps.  Raises Conflict, HostLacks."""
    if not network.ports or network.mode in ("host", "none", "joined"):
        return network
    from rootless.network.publish import assign

    return network._replace(ports=assign(network.ports))


def _is_user_network(mode: str) -> bool:
    return mode not in BACKENDS and mode not in ("container", "ns")


def _wishes(request: RunRequest, given: tuple[str, ...]) -> tuple[Wish, ...]:
    wishes = [parse_wish(each) for each in given]
    if len(wishes) > 1 and (request.ip or request.ip6 or request.mac_address):
        raise InvalidRequest(
            "--ip, --ip6 and --mac-address are for one network",
            hint="--network NAME:ip=ADDRESS,mac=ADDRESS",
        )
    first = wishes[0]
    wishes[0] = first._replace(
        address=request.ip or first.address,
        address6=request.ip6 or first.address6,
        mac_address=request.mac_address or first.mac_address,
    )
    for each in wishes:
        check_mac_address(each.mac_address)
    return tuple(each._replace(aliases=(*each.aliases, *request.network_alias)) for each in wishes)


def check_mac_address(text: str | None) -> None:
    """Raise InvalidRequest unless one interface may have it."""
    parts = (text or "02:00:00:00:00:00").split(":")
    digits = frozenset("0123456789abcdefABCDEF")
    if len(parts) != 6 or not all(len(each) == 2 and digits.issuperset(each) for each in parts):
        raise InvalidRequest(f"invalid MAC address {text}", hint="write it as 02:00:00:00:00:07")
    if int(parts[0], 16) & 1:
        raise InvalidRequest(f"MAC address {text} means a group", hint="its first byte is even")


def parse_wish(text: str) -> Wish:
    """``NAME``, podman's ``NAME:ip=...,alias=...`` or docker's ``name=NAME,ip=...``."""
    from rootless.network.members import Wish

    name, _, rest = text.partition(":")
    if "=" in name:
        name, rest = "", text
    fields: dict[str, Any] = {"network": name}
    aliases = []
    for option in filter(None, rest.split(",")):
        key, _, value = option.partition("=")
        match key:
            case "name" if not name:
                fields["network"] = value
            case "alias":
                aliases.append(value)
            case "ip":
                fields["address"] = value
            case "ip6":
                fields["address6"] = value
            case "mac" | "mac-address":
                fields["mac_address"] = value
            case "interface_name":
                fields["interface"] = value
            case _:
                raise InvalidRequest(f"unknown option {option!r} of --network {text}")
    return Wish(**fields, aliases=tuple(aliases))


def backend_of(
    engine: Engine,
    network: NetworkRequest,
    wishes: tuple[Wish, ...],
    *,
    container: str,
    name: str,
    resolvers: tuple[str, ...] = (),
    rate: str | None = None,
) -> Backend:
    """The backend for a container.  Raises NotFound for a network that does not exist."""
    if network.mode != USER:
        return _limited(pick_backend(network.mode, engine.host), rate)
    from rootless.engine import network_keeper
    from rootless.engine.network_creation import record_of
    from rootless.network.user import UserNetworks

    found = [record_of(engine, each.network) for each in wishes]
    outside = None
    if not all(record["internal"] for record in found):
        outside = pick_backend("private", engine.host)
    elif network.ports:
        raise InvalidRequest("a container on internal networks cannot publish ports")
    backend = UserNetworks(
        lambda: network_keeper.connection(engine.paths, engine.id_map),
        wishes,
        container=container,
        names=(name, container[:12]),
        resolvers=() if resolvers == names.NO_RESOLVERS else resolvers,
        outside=outside,
    )
    return _limited(backend, rate)


def _limited(backend: Backend, rate: str | None) -> Backend:
    """With ``--network-rate``."""
    if rate is None:
        return backend
    from rootless.network.rate import Limited, parse_rate

    return Limited(backend, parse_rate(rate))


def stored(engine: Engine, record: Record) -> tuple[Backend, NetworkRequest]:
    """The same for a container that exists."""
    from rootless.network.members import Wish
    from rootless.network.ports import PortMapping

    mode, ports, options = record["launch"]["network"]
    settings = record["settings"]
    network = NetworkRequest(
        mode,
        tuple(PortMapping(*each) for each in ports),
        tuple(options),
        mac_address=settings.get("mac_address"),
    )
    wishes = tuple(
        Wish(**each)._replace(aliases=tuple(each["aliases"]))
        for each in record["launch"].get("networks", ())
    )
    backend = backend_of(
        engine,
        network,
        wishes,
        container=record["id"],
        name=record["name"],
        resolvers=tuple(settings.get("dns", ())),
        rate=settings.get("network_rate"),
    )
    return backend, network


def warn(backend: Backend, network: NetworkRequest, report: Report) -> None:
    """One clear line when the default network is none, or the host's.

    Raises HostLacks for ports: on the host's network nothing stands between theirs and its own.
    """
    instead = instead_of_private(backend) if network.mode == "private" else None
    if instead is None:
        return
    if network.ports and backend.name == "host":
        raise HostLacks(
            "cannot publish ports: no network namespace can be made here",
            hint="--network host, where the program itself listens on the host; rootless doctor",
        )
    report(events.Notice(instead, "warning"))


def joined(
    engine: Engine, plan: LaunchPlan, backend: Backend, network: NetworkRequest
) -> LaunchPlan:
    """The launch in the namespaces that the backend wants joined.

    In the keeper's user namespace a container with the usual id map needs none of its own; any other
    map is made in one inside it.
    """
    places = backend.namespaces(network)
    if not places:
        return plan
    if plan.join or plan.id_map is None:
        raise Unsupported("user networks and joined namespaces exclude each other")
    if plan.id_map == engine.id_map:
        return plan._replace(join=places, id_map=None)
    nested = within(plan.id_map, engine.id_map)
    if nested is None:
        raise Unsupported(
            "a container on user networks needs an id map inside your usual one",
            hint="leave out --userns, --uidmap and --gidmap",
        )
    return plan._replace(join=places, id_map=nested)


def write_texts(
    directory: str,
    attachment: Attachment,
    *,
    hostname: str,
    shares_host: bool,
    settings: dict[str, Any],
) -> tuple[str, ...]:
    """Write hosts, hostname and resolv.conf of a container; the names of those it has.

    Anew at each start: the host may have moved to another network, the container to another address.
    """
    texts = {"hostname": names.hostname(hostname)}
    if tuple(settings.get("dns", ())) != names.NO_RESOLVERS:
        text = _resolv_conf(attachment, shares_host=shares_host, settings=settings)
        texts["resolv.conf"] = text
    if not settings.get("no_hosts"):
        addresses = (attachment.address, attachment.address6)
        texts["hosts"] = names.hosts(
            hostname=hostname,
            addresses=tuple(each for each in addresses if each),
            host_address=attachment.host_address,
            extra=tuple(names.parse_extra_host(each) for each in settings.get("add_host", ())),
            base=_base_hosts(settings.get("hosts_file"), shares_host=shares_host),
        )
    for name, text in texts.items():
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{directory}/{name}", 0o644)
    return tuple(texts)


def _resolv_conf(attachment: Attachment, *, shares_host: bool, settings: dict[str, Any]) -> str:
    # The resolver of user networks passes questions on to --dns itself.
    given = () if attachment.places and attachment.nameservers else tuple(settings.get("dns", ()))
    return names.resolv_conf(
        host=names.parse_resolver(files.text_or_empty("/etc/resolv.conf")),
        nameservers=attachment.nameservers,
        dns=given,
        dns_search=tuple(settings.get("dns_search", ())),
        dns_options=tuple(settings.get("dns_option", ())),
        own_loopback=shares_host,
    )


def _base_hosts(given: str | None, *, shares_host: bool) -> str | None:
    """``--hosts-file``: what to begin with; None is loopback only."""
    if given == "none":
        return ""
    if given not in (None, "image"):
        return files.text_or_empty(given or "")
    return files.text_or_empty("/etc/hosts") if shares_host else None


def refuse_in_use(name: str, users: list[str]) -> None:
    """Raise Conflict naming the containers that still use a network."""
    if users:
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        raise Conflict(
            f"network {name} is in use by {', '.join(users[:3])}{more}",
            hint="remove those containers, or disconnect them",
        )
