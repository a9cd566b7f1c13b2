"""slirp4netns(1): the older user-mode network; slower, hides the client's address, starts nearly everywhere."""

from __future__ import annotations

import os

from rootless.errors import Conflict, HostLacks, InvalidRequest, RootlessError, Unsupported
from rootless.network import addresses, publish
from rootless.network.backend import Attachment
from rootless.network.helper import DIRECTORY_FD, READY_FD, Helper
from rootless.network.link import HelperLink
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.addresses import HostView
    from rootless.network.backend import Link, NetworkRequest
    from rootless.network.ports import PortMapping

_MTU = "65520"
_SOCKET = "slirp4netns.sock"


class Slirp4netns:
    """Implements ``Backend``; ``program`` is the path of a slirp4netns that passed its probe.

    Ports are published by our relay, which is faster and knows IPv6 and UDP from the host's loopback;
    ``port_handler=slirp4netns`` has the helper do it, which keeps the client's address.
    """

    name = "slirp4netns"
    new_namespace = True

    def __init__(self, program: str):
        self._program = program

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()

    def addresses(self, request: NetworkRequest) -> Attachment:
        _control_path(request)
        publish.assign(request.ports)
        return _attachment(request, addresses.look())

    def start(self, pid: int, request: NetworkRequest) -> Link:
        host = addresses.look()
        attachment = _attachment(request, host)
        control = _control_path(request)
        relay = None
        if request.ports and control is None:
            from rootless.network.relay import Relay  # only with published ports

            relay = Relay(pid, request.ports, address=host.plan.address, gateway=host.plan.gateway)
        bound, directory = None, -1
        if control is not None:
            # A socket's address holds 107 bytes; the directory of a container alone has 99 in the usual place.
            directory = os.open(os.path.dirname(control), os.O_PATH | os.O_CLOEXEC)
            bound = f"/proc/self/fd/{DIRECTORY_FD}/{_SOCKET}"
        argv = [self._program, *arguments(request, host, control=bound), str(pid)]
        argv.append(request.interface)
        try:
            helper = Helper(argv, directory=directory)
        finally:
            if directory >= 0:
                os.close(directory)
        return SlirpLink(
            helper,
            request,
            attachment,
            relay=relay,
            files=(control,) if control else (),
        )


class SlirpLink(HelperLink):
    """Implements ``Link``."""

    def _publish(self) -> None:
        super()._publish()
        for control in self._files:
            for mapping in self._request.ports:
                _publish(control, mapping, self._attachment.address or "")


def _attachment(request: NetworkRequest, host: HostView) -> Attachment:
    plan = host.plan
    return Attachment(
        backend=Slirp4netns.name,
        address=plan.address,
        gateway=plan.gateway,
        host_address=plan.gateway if _allows_loopback(request) else host.address,
        nameservers=(plan.resolver,) if host.loopback_resolver else (),
        interface=request.interface,
        mac_address=request.mac_address,
    )


def _allows_loopback(request: NetworkRequest) -> bool:
    return "allow_host_loopback=true" in request.options


def arguments(request: NetworkRequest, host: HostView, *, control: str | None) -> list[str]:
    """The options for a container, those after ``--network slirp4netns:`` in podman's words."""
    argv = ["--configure", "--enable-sandbox", "--enable-seccomp", f"--ready-fd={READY_FD}"]
    mtu, cidr, more = _MTU, host.plan.subnet, []
    for option in request.options:
        name, _, value = option.partition("=")
        match name:
            case "mtu" if value.isdigit():
                mtu = value
            case "cidr":
                cidr = value
            case "enable_ipv6":
                more += ["--enable-ipv6"] if value == "true" else []
            case "outbound_addr":
                more.append(f"--outbound-addr={value}")
            case "outbound_addr6":
                more.append(f"--outbound-addr6={value}")
            case "allow_host_loopback" | "port_handler":
                pass
            case _:
                raise InvalidRequest(f"slirp4netns has no option {option}")
    argv += [f"--mtu={mtu}", f"--cidr={cidr}", *more]
    if not _allows_loopback(request):
        argv.append("--disable-host-loopback")
    if request.mac_address:
        argv.append(f"--macaddress={request.mac_address}")
    if control is not None:
        argv.append(f"--api-socket={control}")
    return argv


def _control_path(request: NetworkRequest) -> str | None:
    """Where the socket goes that adds ports: in a directory that others cannot enter."""
    if not request.ports or "port_handler=slirp4netns" not in request.options:
        return None
    for each in request.ports:
        if ":" in each.host_ip:
            raise Unsupported(
                f"slirp4netns cannot publish port {each} itself: it knows IPv4 only",
                hint="leave out port_handler=slirp4netns",
            )
    return f"{request.directory or ''}/{_SOCKET}"


def _publish(control: str, mapping: PortMapping, address: str) -> None:
    """Ask the running helper for one port."""
    import json
    from _socket import AF_UNIX, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, socket

    arguments = {
        "proto": mapping.protocol,
        "host_addr": mapping.host_ip or "0.0.0.0",
        "host_port": mapping.host_port,
        "guest_addr": address,
        "guest_port": mapping.container_port,
    }
    request = json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode()
    endpoint = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(control), os.O_PATH | os.O_CLOEXEC)
    try:
        endpoint.connect(f"/proc/self/fd/{directory}/{_SOCKET}")
        endpoint.send(request)
        endpoint.shutdown(SHUT_WR)
        answer = json.loads(endpoint.recv(4096))
    except (OSError, ValueError) as error:
        raise HostLacks(f"slirp4netns did not publish port {mapping}: {error}") from None
    finally:
        endpoint.close()
        os.close(directory)
    if "error" in answer:
        raise _refusal(mapping, str(answer["error"].get("desc", "")))


def _refusal(mapping: PortMapping, words: str) -> RootlessError:
    try:
        publish.assign((mapping,))
    except RootlessError as error:
        return error
    return Conflict(f"slirp4netns did not publish port {mapping}: {words or 'it gave no reason'}")
