"""HOST SIDE: make user networks, also the default one when it is first asked for."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import InvalidRequest, NotFound, Unsupported
from rootless.lean import contextmanager
from rootless.network import records
from rootless.network.choice import BACKENDS
from rootless.runtime import container as store
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.engine.network_requests import NetworkCreateRequest
    from rootless.network.records import NetworkRecord, Subnet

_OPTIONS = {"mtu": "mtu", "com.docker.network.driver.mtu": "mtu"}


@contextmanager
def locked(engine: Engine) -> Iterator[str]:
    """Nobody else changes networks; yields their directory."""
    fd = records.lock(engine.paths.networks)
    try:
        yield engine.paths.networks
    finally:
        os.close(fd)


def record_of(engine: Engine, name: str) -> NetworkRecord:
    """A network by name or id; the default one is made when it is first asked for.  Raises NotFound."""
    try:
        return records.read(engine.paths.networks, name)
    except NotFound:
        if name != records.DEFAULT:
            raise
    from rootless.engine.network_requests import NetworkCreateRequest

    return create(engine, NetworkCreateRequest(name, ignore=True))


def create(engine: Engine, request: NetworkCreateRequest) -> NetworkRecord:
    """Make a network.  Raises Conflict for a name or a subnet that is taken, InvalidRequest, Unsupported."""
    store.check_name("network", request.name)
    if request.name in BACKENDS or request.name in ("container", "ns", "default"):
        raise InvalidRequest(f"{request.name} is a network mode and cannot name a network")
    if request.driver != "bridge":
        raise Unsupported(
            f"network driver {request.driver} is not supported",
            hint="bridge is; macvlan and ipvlan need root",
        )
    options = _options(request.opt)
    with locked(engine) as directory:
        existing = records.read_all(directory)
        for each in existing:
            if each["name"] == request.name and request.ignore:
                return each
        taken = [subnet["subnet"] for each in existing for subnet in each["subnets"]]
        record: NetworkRecord = {
            "name": request.name,
            "id": files.random_name(32),
            "created": store.timestamp(),
            "driver": "bridge",
            "internal": request.internal,
            "dns_enabled": not request.disable_dns,
            "subnets": _subnets(request, taken),
            "labels": dict(_pair(each) for each in request.label),
            "options": options,
        }
        records.write_new(directory, record)
    note(engine.paths, "network", "create", id=record["id"], name=record["name"])
    return record


def _subnets(request: NetworkCreateRequest, taken: list[str]) -> list[Subnet]:
    chosen: list[Subnet] = []
    for index, subnet in enumerate(request.subnet):
        gateway = request.gateway[index] if index < len(request.gateway) else None
        others = [*taken, *(each["subnet"] for each in chosen)]
        chosen.append(records.given_subnet(subnet, gateway, others))
    if len(request.gateway) > len(request.subnet):
        raise InvalidRequest("--gateway needs a --subnet of its own")
    if not any(":" not in each["subnet"] for each in chosen):
        chosen.insert(0, records.default_subnet([*taken, *_host_networks()], name=request.name))
    if request.ipv6 and not any(":" in each["subnet"] for each in chosen):
        chosen.append(records.random_subnet6())
    return records.with_ranges(chosen, request.ip_range)


def _host_networks() -> list[str]:
    """Where the host's routes lead: a container must still reach those."""
    from rootless.network.addresses import host_networks

    return host_networks()


def _options(given: tuple[str, ...]) -> dict[str, str]:
    options = {}
    for text in given:
        key, value = _pair(text)
        if key not in _OPTIONS:
            raise Unsupported(f"network option {key} is not supported", hint="mtu is")
        if not value.isdigit() or not 68 <= int(value) <= 65535:
            raise InvalidRequest(f"invalid mtu {value!r}", hint="68 to 65535")
        options[_OPTIONS[key]] = value
    return options


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value
