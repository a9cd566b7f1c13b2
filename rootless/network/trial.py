"""A container's network without a container: what ``network test`` and ``doctor`` try."""

from __future__ import annotations

from rootless import files
from rootless.errors import RootlessError
from rootless.network import inside, probe
from rootless.network.backend import NetworkRequest
from rootless.network.names import Resolver, is_loopback, parse_resolver
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.backend import Attachment, Backend

_RESOLV_CONF = "/etc/resolv.conf"


def run(backend: Backend) -> tuple[tuple[str, str | None], ...]:
    """What was tried, and why it failed, or None."""
    ports = probe.free_ports()
    try:
        with inside.NewNamespace() as pid:
            link = backend.start(pid, NetworkRequest(ports=ports))
            try:
                attachment = link.wait()
                host = attachment.host_address
                return (
                    (f"network by {attachment.backend}", None),
                    ("name resolution", _resolution_failure(pid, attachment)),
                    ("the host by its alias", _host_failure(pid, host, probe.use_outbound)),
                    ("a transfer to the host", _host_failure(pid, host, probe.use_upload)),
                    ("published ports", probe.use_ports(pid, host or "127.0.0.1", ports)),
                )
            finally:
                link.close()
    except RootlessError as error:
        return ((f"network by {backend.name}", error.message),)


def _host_failure(pid: int, host: str | None, use: Callable[[int, str], str | None]) -> str | None:
    if host is None:
        return "this host has no address but its loopback"
    return use(pid, host)


def _resolution_failure(pid: int, attachment: Attachment) -> str | None:
    """Ask each resolver that a container would have for the root's name servers, which all know."""
    host = _host_resolver()
    servers = attachment.nameservers or tuple(
        each for each in host.nameservers if not is_loopback(each)
    )
    if not servers:
        return "the host has no resolver that a container could ask"
    failures = []
    for server in servers:
        answer = inside.call(pid, lambda server=server: _ask_resolver(server), name="probe")  # type: ignore[misc]  # the default binds the name
        if answer == "answered":
            return None
        failures.append(f"{server}: {answer}")
    return "; ".join(failures)


def _host_resolver() -> Resolver:
    try:
        return parse_resolver(files.read_bytes(_RESOLV_CONF).decode(errors="replace"))
    except OSError:
        return Resolver()


def _ask_resolver(server: str) -> str:
    """Any answer will do: it shows that questions and answers get through."""
    from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, socket

    question = b"rt\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x00\x00\x02\x00\x01"  # . IN NS
    endpoint = socket(AF_INET6 if ":" in server else AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    endpoint.settimeout(probe.TIMEOUT_S)
    try:
        endpoint.connect((server, 53))
        endpoint.send(question)
        return "answered" if endpoint.recv(4096)[:2] == b"rt" else "another answer"
    except OSError as error:
        return str(error)
    finally:
        endpoint.close()
