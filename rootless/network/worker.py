"""WORKER of the keeper: root of its user namespace, in the network namespace with the bridges.

It does what it is told over one connection, a request at a time, and ends with it.
"""

from __future__ import annotations

from rootless.errors import HostLacks, RootlessError
from rootless.kernel import namespace, process
from rootless.network import wire
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _socket import socket

    from rootless.network.bridge import Switch

_DNS_PORT = 53
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78


def serve(endpoint: socket) -> None:
    """Make the network namespace, say that it is there, and obey until the connection ends."""
    try:
        namespace.unshare(namespace.CLONE_NEWNET)
        process.set_dumpable(True)  # containers join our user namespace by /proc
        process.set_name("rootless:[net]")
        from rootless.network.bridge import Switch  # 0.3 s

        switch = Switch()
    except (OSError, RootlessError) as error:
        wire.send(endpoint, wire.failure(HostLacks(f"cannot make the network namespace: {error}")))
        return
    wire.send(endpoint, {"ready": True})
    while True:
        request, fds = wire.receive(endpoint)
        if request is None:
            return
        try:
            answer, given = _obey(switch, request, fds)
            wire.send(endpoint, answer, given)
            wire.close_all(list(given))
        except RootlessError as error:
            wire.send(endpoint, wire.failure(error))
        except Exception as error:  # the keeper must hear of whatever netlink says
            wire.send(endpoint, wire.failure(HostLacks(f"cannot {request['do']}: {error}")))
        finally:
            wire.close_all(fds)


def _obey(
    switch: Switch, request: dict[str, Any], fds: list[int]
) -> tuple[dict[str, Any], tuple[int, ...]]:
    from rootless.network.bridge import Endpoint

    match request["do"]:
        case "add bridge":
            switch.add_bridge(request["record"])
            pairs = [_listen(each["gateway"]) for each in request["record"]["subnets"]]
            return {}, tuple(fd for pair in pairs for fd in pair)
        case "remove bridge":
            switch.remove_bridge(request["record"])
        case "attach":
            addresses = tuple((each[0], each[1]) for each in request["endpoint"].pop("addresses"))
            endpoint = Endpoint(addresses=addresses, **request["endpoint"])
            return {"end": switch.attach(endpoint, fds[0])}, ()
        case "detach":
            switch.detach(request["end"])
        case other:
            raise HostLacks(f"the network worker does not know {other}")
    return {}, ()


def _listen(address: str) -> tuple[int, int]:
    """A UDP and a TCP socket at a bridge's own address, where containers ask for names."""
    import _socket as kernel

    is_ipv6 = ":" in address
    made = []
    for kind in (kernel.SOCK_DGRAM, kernel.SOCK_STREAM):
        family = kernel.AF_INET6 if is_ipv6 else kernel.AF_INET
        endpoint = kernel.socket(family, kind | kernel.SOCK_CLOEXEC | kernel.SOCK_NONBLOCK)
        # The bridge has no carrier before the first container is plugged in.
        endpoint.setsockopt(41 if is_ipv6 else 0, _IPV6_FREEBIND if is_ipv6 else _IP_FREEBIND, 1)
        endpoint.bind((address, _DNS_PORT))
        if kind == kernel.SOCK_STREAM:
            endpoint.listen(64)
        made.append(endpoint.detach())
    return made[0], made[1]
