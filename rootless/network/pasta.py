"""pasta(1): no translation of the client's address, IPv6, ports bound by the helper itself."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.network import addresses, publish
from rootless.network.backend import Attachment
from rootless.network.helper import Helper
from rootless.network.link import HelperLink
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.addresses import HostView
    from rootless.network.backend import Link, NetworkRequest
    from rootless.network.ports import PortMapping


class Pasta:
    """Implements ``Backend``; ``program`` is the path of a pasta that passed its probe.

    ``publishes``: whether it also passed the probe of published ports; else our relay has them.
    """

    name = "pasta"
    new_namespace = True

    def __init__(self, program: str, *, publishes: bool = True):
        self._program = program
        self._publishes = publishes

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()

    def addresses(self, request: NetworkRequest) -> Attachment:
        publish.assign(request.ports)
        return _attachment(request, addresses.look())

    def start(self, pid: int, request: NetworkRequest) -> Link:
        host = addresses.look()
        attachment = _attachment(request, host)
        relay = None
        if request.ports and not self._publishes:
            from rootless.network.relay import Relay  # only where pasta's own ports do not work

            relay = Relay(pid, request.ports, address=host.plan.address, gateway=host.plan.gateway)
        ports = () if relay else request.ports
        argv = [self._program, *arguments(request._replace(ports=ports), host), str(pid)]
        return PastaLink(Helper(argv, ready_fd=1), request, attachment, relay=relay)


class PastaLink(HelperLink):
    """Implements ``Link``."""

    def _failure(self) -> Exception:
        """Most often a port that was taken since it was looked at."""
        try:
            publish.assign(self._request.ports if self._relay is None else ())
        except RootlessError as error:
            return error
        return super()._failure()


def _attachment(request: NetworkRequest, host: HostView) -> Attachment:
    plan = host.plan
    return Attachment(
        backend=Pasta.name,
        address=plan.address,
        address6=plan.address6 if host.address6 else None,
        gateway=plan.gateway,
        host_address=plan.gateway if "--map-gw" in request.options else host.address,
        # The host's resolvers themselves where they can be reached: pasta of 2023 forwards UDP only.
        nameservers=(plan.resolver,) if host.loopback_resolver else (),
        interface=request.interface,
        mac_address=request.mac_address,
    )


def arguments(request: NetworkRequest, host: HostView) -> list[str]:
    """The options for a container: the caller's own (``--network pasta:...``) replace ours."""
    given = set(request.options)
    argv = ["-f", "-q", "-P", "/dev/stdout", "--config-net"]
    for option, alternative, values in _defaults(request, host):
        if option not in given and alternative not in given:
            argv += [word for value in values for word in (option, value)]
    if host.address6 is None and not given & {"-6", "--ipv6-only"}:
        argv.append("-4")
    if not given & {"--map-gw", "--no-map-gw", "--map-host-loopback"}:
        argv.append("--no-map-gw")  # else every service on the host's loopback is the container's
    return [*argv, *(option for option in request.options if option != "--map-gw")]


def _defaults(
    request: NetworkRequest, host: HostView
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(option, its other name, its values) of what a caller may replace."""
    plan, ipv6 = host.plan, host.address6 is not None
    return (
        ("-I", "--ns-ifname", (request.interface,)),
        ("-a", "--address", (plan.address, plan.address6) if ipv6 else (plan.address,)),
        ("-n", "--netmask", ("24",)),
        ("-g", "--gateway", (plan.gateway, plan.gateway6) if ipv6 else (plan.gateway,)),
        ("-t", "--tcp-ports", _specifiers(request.ports, "tcp")),
        ("-u", "--udp-ports", _specifiers(request.ports, "udp")),
        ("-T", "--tcp-ns", ("none",)),
        ("-U", "--udp-ns", ("none",)),
        ("--dns-forward", "--dns-forward", (plan.resolver,)),
        ("--ns-mac-addr", "--ns-mac-addr", (request.mac_address,) if request.mac_address else ()),
    )


def _specifiers(mappings: tuple[PortMapping, ...], protocol: str) -> tuple[str, ...]:
    """``-t`` and ``-u``: ``[address/]host:container``; no address means IPv4 and IPv6."""
    found: dict[tuple[int, int], str] = {}
    chosen: list[str] = []
    for each in mappings:
        if each.protocol != protocol:
            continue
        pair = (each.host_port, each.container_port)
        if {found.get(pair), each.host_ip} == {"0.0.0.0", "::"}:
            # pasta wants each port once; both wildcards together are what no address means
            chosen.remove(_specifier(each._replace(host_ip=found[pair])))
            each = each._replace(host_ip="")  # noqa: PLW2901
        found[pair] = each.host_ip
        chosen.append(_specifier(each))
    return tuple(chosen) or ("none",)


def _specifier(mapping: PortMapping) -> str:
    ports = f"{mapping.host_port}:{mapping.container_port}"
    return f"{mapping.host_ip}/{ports}" if mapping.host_ip else ports
