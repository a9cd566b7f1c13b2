"""pasta(1): no translation of the client's address, IPv6, ports bound by the helper itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootless.errors import HostLacks, RootlessError
from rootless.network import addresses, publish
from rootless.network.backend import Attachment
from rootless.network.helper import Helper

if TYPE_CHECKING:
    from rootless.network.addresses import HostView
    from rootless.network.backend import Link, NetworkRequest
    from rootless.network.ports import PortMapping


class Pasta:
    """Implements ``Backend``; ``program`` is the path of a pasta that passed its probe."""

    name = "pasta"
    new_namespace = True

    def __init__(self, program: str):
        self._program = program

    def addresses(self, request: NetworkRequest) -> Attachment:
        publish.assign(request.ports)
        return _attachment(request, addresses.look())

    def start(self, pid: int, request: NetworkRequest) -> Link:
        host = addresses.look()
        helper = Helper([self._program, *arguments(request, host), str(pid)], ready_fd=1)
        return PastaLink(helper, request, _attachment(request, host))


class PastaLink:
    """Implements ``Link``."""

    def __init__(self, helper: Helper, request: NetworkRequest, attachment: Attachment):
        self._helper = helper
        self._request = request
        self._attachment = attachment._replace(helper_pid=helper.pid)

    def wait(self) -> Attachment:
        try:
            ready = self._helper.wait_ready()
        except HostLacks:
            self.close()
            raise
        if not ready:
            failure = self._failure()
            self.close()
            raise failure
        return self._attachment

    def _failure(self) -> RootlessError:
        """Why it did not start: most often a port that was taken since it was looked at."""
        try:
            publish.assign(self._request.ports)
        except RootlessError as error:
            return error
        return HostLacks(f"pasta cannot connect the container: {self._helper.words()}")

    def fds(self) -> tuple[int, ...]:
        return (self._helper.pidfd,)

    def broken(self) -> str | None:
        return "pasta has ended" if self._helper.has_ended() else None

    def close(self) -> None:
        self._helper.close(wait=bool(self._request.ports))


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
        interface=addresses.INTERFACE,
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
        ("-I", "--ns-ifname", (addresses.INTERFACE,)),
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
