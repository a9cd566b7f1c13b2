"""slirp4netns(1): the older user-mode network; slower, hides the client's address, starts nearly everywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootless.errors import Conflict, HostLacks, InvalidRequest, RootlessError, Unsupported
from rootless.network import addresses, publish
from rootless.network.backend import Attachment
from rootless.network.helper import READY_FD, Helper

if TYPE_CHECKING:
    from rootless.network.addresses import HostView
    from rootless.network.backend import Link, NetworkRequest
    from rootless.network.ports import PortMapping

_MTU = "65520"
_SOCKET = "slirp4netns.sock"


class Slirp4netns:
    """Implements ``Backend``; ``program`` is the path of a slirp4netns that passed its probe."""

    name = "slirp4netns"
    new_namespace = True

    def __init__(self, program: str):
        self._program = program

    def addresses(self, request: NetworkRequest) -> Attachment:
        _check(request.ports)
        publish.assign(request.ports)
        return _attachment(request, addresses.look())

    def start(self, pid: int, request: NetworkRequest) -> Link:
        _check(request.ports)
        host = addresses.look()
        control = _control_path(request)
        argv = [self._program, *arguments(request, host, control=control), str(pid)]
        argv.append(addresses.INTERFACE)
        return SlirpLink(Helper(argv), request, _attachment(request, host), control=control)


class SlirpLink:
    """Implements ``Link``."""

    def __init__(
        self,
        helper: Helper,
        request: NetworkRequest,
        attachment: Attachment,
        *,
        control: str | None,
    ):
        self._helper = helper
        self._request = request
        self._attachment = attachment._replace(helper_pid=helper.pid)
        self._control = control

    def wait(self) -> Attachment:
        try:
            if not self._helper.wait_ready():
                raise HostLacks(f"slirp4netns cannot connect the container: {self._helper.words()}")
            for mapping in self._request.ports if self._control else ():
                _publish(self._control or "", mapping, self._attachment.address or "")
        except BaseException:
            self.close()
            raise
        return self._attachment

    def fds(self) -> tuple[int, ...]:
        return (self._helper.pidfd,)

    def broken(self) -> str | None:
        return "slirp4netns has ended" if self._helper.has_ended() else None

    def close(self) -> None:
        self._helper.close(wait=bool(self._request.ports))
        if self._control is not None:
            try:
                os.unlink(self._control)
            except FileNotFoundError:
                pass


def _attachment(request: NetworkRequest, host: HostView) -> Attachment:
    plan = host.plan
    return Attachment(
        backend=Slirp4netns.name,
        address=plan.address,
        gateway=plan.gateway,
        host_address=plan.gateway if _allows_loopback(request) else host.address,
        nameservers=(plan.resolver,) if host.loopback_resolver else (),
        interface=addresses.INTERFACE,
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
    """Where the socket goes that adds ports: only with ports, in a directory that others cannot enter."""
    if not request.ports:
        return None
    if request.directory is None:
        raise HostLacks("slirp4netns needs a directory of the container to publish ports")
    return f"{request.directory}/{_SOCKET}"


def _check(mappings: tuple[PortMapping, ...]) -> None:
    for each in mappings:
        if ":" in each.host_ip:
            raise Unsupported(
                f"slirp4netns cannot publish port {each}: it knows IPv4 only",
                hint="install passt, or publish an IPv4 address",
            )


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
    try:
        endpoint.connect(control)
        endpoint.send(request)
        endpoint.shutdown(SHUT_WR)
        answer = json.loads(endpoint.recv(4096))
    except (OSError, ValueError) as error:
        raise HostLacks(f"slirp4netns did not publish port {mapping}: {error}") from None
    finally:
        endpoint.close()
    if "error" in answer:
        raise _refusal(mapping, str(answer["error"].get("desc", "")))


def _refusal(mapping: PortMapping, words: str) -> RootlessError:
    try:
        publish.assign((mapping,))
    except RootlessError as error:
        return error
    return Conflict(f"slirp4netns did not publish port {mapping}: {words or 'it gave no reason'}")
