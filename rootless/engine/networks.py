"""User networks: create, list, inspect, remove, connect, disconnect."""

from __future__ import annotations

from rootless import files
from rootless.engine.connectivity import USER, check_mac_address, refuse_in_use, write_texts
from rootless.engine.filters import has, truth
from rootless.engine.network_creation import locked, record_of
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed, Unsupported
from rootless.network import records
from rootless.runtime import container as store
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine
    from rootless.engine.network_requests import (
        NetworkConnectRequest,
        NetworkDisconnectRequest,
        NetworkListRequest,
        NetworkRemoveRequest,
    )
    from rootless.network.records import NetworkRecord, Subnet
    from rootless.runtime.container import Container


def list_networks(engine: Engine, request: NetworkListRequest) -> list[NetworkRecord]:
    """The networks that pass all filters: name, id, driver, internal, label, dangling."""
    tests = [_filter(engine, each) for each in request.filter]
    return [
        record
        for record in records.read_all(engine.paths.networks, engine.damaged)
        if all(test(record) for test in tests)
    ]


def _filter(engine: Engine, text: str) -> Callable[[NetworkRecord], bool]:
    key, _, value = text.partition("=")
    match key:
        case "name":
            return lambda record: value in record["name"]
        case "id":
            return lambda record: record["id"].startswith(value)
        case "driver":
            return lambda record: record["driver"] == value
        case "internal":
            internal = truth(value)
            return lambda record: record["internal"] == internal
        case "label":
            return lambda record: has(record["labels"], value)
        case "label!":
            return lambda record: not has(record["labels"], value)
        case "until":
            from rootless.image.times import parse_since, parse_time

            bound = parse_since(value, now_s=None)
            return lambda record: parse_time(record["created"]) < bound
        case "dangling":
            dangling = truth(value)
            return lambda record: (not users(engine, record["name"])) == dangling
    raise InvalidRequest(
        f"unknown filter {key!r}",
        hint="name, id, driver, internal, label, label!, until or dangling",
    )


def exists(engine: Engine, name: str) -> bool:
    """Whether there is such a network."""
    try:
        records.read(engine.paths.networks, name)
    except NotFound:
        return name == records.DEFAULT
    return True


def inspect(engine: Engine, name: str) -> tuple[NetworkRecord, dict[str, dict[str, Any]]]:
    """A network, and the containers that are on it now: their ids, names and places."""
    record = record_of(engine, name)
    containers = {
        member["container"]: {"name": member["name"], **place}
        for member in _members(engine)
        for place in member["places"]
        if place["network"] == record["name"]
    }
    return record, containers


def interface_of(record: NetworkRecord) -> str:
    """What its bridge is called."""
    return records.bridge_name(record)


def range_of(subnet: Subnet) -> tuple[str, str]:
    """The first and the last address that a container gets which chooses none."""
    return records.ends_of_range(subnet)


def users(engine: Engine, name: str, damaged: list[StoreFailed] | None = None) -> list[str]:
    """The names of all containers, running or not, that are to be on a network (``damaged``: all_containers)."""
    return [
        each.name
        for each in store.all_containers(engine.paths, damaged)
        if any(wish["network"] == name for wish in each.record["launch"].get("networks", ()))
    ]


def remove(engine: Engine, request: NetworkRemoveRequest) -> list[str]:
    """Remove networks; their names.  Raises Conflict for one that a container uses, NotFound."""
    removed = []
    for name in request.networks:
        try:
            record = records.read(engine.paths.networks, name)
        except NotFound:
            if request.ignore or request.force:
                continue
            raise
        except StoreFailed:
            if not request.force:
                raise
            with locked(engine) as directory:
                records.remove(directory, name)
            removed.append(name)
            continue
        if request.force:
            _remove_users(engine, record["name"])
        with locked(engine) as directory:
            refuse_in_use(record["name"], users(engine, record["name"]))
            records.remove(directory, record["name"])
        removed.append(record["name"])
        note(engine.paths, "network", "remove", id=record["id"], name=record["name"])
    _settle(engine)
    return removed


def _remove_users(engine: Engine, name: str) -> None:
    from rootless.engine.removal import remove as remove_container

    for user in users(engine, name):
        remove_container(engine, store.find(engine.paths, user), force=True)


def prune(engine: Engine, filters: tuple[str, ...] = ()) -> list[str]:
    """Remove all networks that no container uses; their names."""
    tests = [_filter(engine, each) for each in filters]
    removed = []
    with locked(engine) as directory:
        for record in records.read_all(directory):
            if all(test(record) for test in tests) and not users(engine, record["name"]):
                records.remove(directory, record["name"])
                removed.append(record["name"])
                note(engine.paths, "network", "remove", id=record["id"], name=record["name"])
    _settle(engine)
    return removed


def connect(engine: Engine, request: NetworkConnectRequest) -> None:
    """Put a container on one more network, at once when it runs.  Raises Conflict, Unsupported."""
    from rootless.network.members import Wish

    record = record_of(engine, request.network)
    container = store.find(engine.paths, request.container)
    wish = Wish(
        record["name"],
        request.alias,
        request.ip,
        request.ip6,
        request.mac_address,
    )
    check_mac_address(wish.mac_address)
    wishes = _wishes_of(container)
    if any(each["network"] == wish.network for each in wishes):
        raise Conflict(f"container {container.name} is on network {wish.network} already")
    running = container.state() is not None
    _check_can_join(container, record["name"], running=running)
    if running:
        _tell(engine, container, {"do": "connect", "wish": wish._asdict()})
    _store_wishes(container, [*wishes, wish._asdict()])
    _note_member(engine, "connect", record, container)


def _check_can_join(container: Container, network: str, *, running: bool) -> None:
    """Raise Unsupported where a container shares a network, or runs on one that is not the keeper's."""
    mode = container.record["launch"]["network"][0]
    if mode == USER:
        return
    if mode in ("host", "joined"):
        whose = "the host" if mode == "host" else "another container"
        raise Unsupported(
            f"container {container.name} has the network of {whose} and none of its own to connect",
            hint=f"make it anew with --network {network}",
        )
    if running:
        raise Unsupported(
            f"container {container.name} runs with --network {mode}, which lies outside of the"
            " user namespace of user networks: it can be connected while it is stopped only",
            hint=f"rootless stop {container.name}; rootless network connect {network}"
            f" {container.name}; rootless start {container.name}",
        )


def disconnect(engine: Engine, request: NetworkDisconnectRequest) -> None:
    """Take a container off a network, at once when it runs.  Raises NotFound, Conflict."""
    container = store.find(engine.paths, request.container)
    wishes = _wishes_of(container)
    rest = [each for each in wishes if each["network"] != request.network]
    if len(rest) == len(wishes):
        raise NotFound(f"container {container.name} is not on network {request.network}")
    if container.state() is not None:
        _tell(engine, container, {"do": "disconnect", "network": request.network})
    _store_wishes(container, rest)
    _note_member(engine, "disconnect", record_of(engine, request.network), container)


def _note_member(engine: Engine, action: str, record: NetworkRecord, container: Container) -> None:
    given = {"container": container.id, "containerName": container.name}
    note(engine.paths, "network", action, id=record["id"], name=record["name"], attributes=given)


def _wishes_of(container: Container) -> list[dict[str, Any]]:
    return list(container.record["launch"].get("networks", ()))


def _store_wishes(container: Container, wishes: list[dict[str, Any]]) -> None:
    """Write down which networks a container is on; with none left it has no network at all."""
    launch = dict(container.record["launch"])
    _, ports, _ = launch["network"]
    mode = USER if wishes else "none"
    launch["networks"] = wishes
    launch["network"] = [mode, ports if wishes else [], [each["network"] for each in wishes]]
    store.update_record(container, {"launch": launch})


def _members(engine: Engine) -> list[dict[str, Any]]:
    """Who is on which network now, as the keeper says."""
    answer = _ask(engine, {"do": "list"})
    return [] if answer is None else list(answer["members"])


def _tell(engine: Engine, container: Container, request: dict[str, Any]) -> None:
    """Change the networks of a running container, and what its hosts and resolv.conf say."""
    from rootless.network.backend import Attachment
    from rootless.network.user import attachment_of, places_of

    answer = _ask(engine, {**request, "container": container.id})
    if answer is None:
        raise Conflict("no container is connected to a user network now", hint="start it anew")
    places = places_of(answer)
    state = container.state() or {}
    before = Attachment(**state["network"])
    outside = before._replace(backend=before.outside or "none")
    changed = attachment_of(places, outside)
    write_texts(
        container.bundle,
        changed,
        hostname=container.spec().get("hostname") or container.id[:12],
        shares_host=False,
        settings=container.record["settings"],
    )


def _settle(engine: Engine) -> None:
    """Have an idle keeper end now, and wait until it has."""
    from rootless.network import wire

    try:
        answer = _ask(engine, {"do": "settle"})
        if answer is not None and answer["ends"]:
            with files.lock(f"{engine.paths.run}/networks/keeper.lock", shared=True):
                pass
    except wire.Gone:
        pass


def _ask(engine: Engine, request: dict[str, Any]) -> dict[str, Any] | None:
    """What the keeper answers; None when there is none."""
    from rootless.engine import network_keeper
    from rootless.network import wire

    endpoint = network_keeper.running(engine.paths)
    if endpoint is None:
        return None
    try:
        return wire.ask(endpoint, request)[0]
    finally:
        endpoint.close()
