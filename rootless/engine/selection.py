"""Which containers a command means: names, ``--all``, ``--latest``, ``--cidfile`` and ``--filter``."""

from __future__ import annotations

from rootless.engine.filters import grouped, has, means_image
from rootless.errors import InvalidRequest, NotFound, StoreFailed
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.engine import Engine
    from rootless.runtime.container import Container


def select(
    engine: Engine,
    names: Sequence[str],
    *,
    all: bool = False,
    latest: bool = False,
    filters: Sequence[str] = (),
    cidfiles: Sequence[str] = (),
    ignore: bool = False,
) -> tuple[str, ...]:
    """The names as they were given, or those of the containers that were chosen otherwise.

    With ``ignore``, names and files that lead nowhere are left out.  Raises InvalidRequest where
    nothing was chosen at all, or twice.
    """
    if latest and (all or names):
        raise InvalidRequest("--latest chooses the container: no other is named with it")
    if all or latest or filters:
        damaged: list[StoreFailed] = []
        found = list(store.all_containers(engine.paths, damaged))
        if damaged and all and not filters:  # each of them will be complained of, or removed
            return tuple(store.ids_of(engine.paths))
        engine.damaged += damaged
        chosen = matching(engine, found, filters)
        if names:
            wanted = {store.find(engine.paths, name).id for name in names}
            chosen = [each for each in chosen if each.id in wanted]
        if latest and not chosen:
            raise NotFound("there is no container")
        return tuple(each.name for each in (chosen[:1] if latest else chosen))
    given = (*names, *(text for path in cidfiles for text in _id_in(path, ignore=ignore)))
    if not given and not cidfiles:
        raise InvalidRequest("no container is named", hint="name one, or use --all or --latest")
    return tuple(name for name in given if not ignore or exists(engine, name))


def _id_in(path: str, *, ignore: bool) -> tuple[str, ...]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return (file.read(1024).strip(),)
    except OSError as error:
        if ignore and isinstance(error, FileNotFoundError):
            return ()
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None


def exists(engine: Engine, name: str) -> bool:
    """Whether there is a container of that name."""
    try:
        store.find(engine.paths, name)
    except NotFound:
        return False
    except StoreFailed:  # damaged, but there
        return True
    return True


def matching(
    engine: Engine, containers: Iterable[Container], filters: Sequence[str]
) -> list[Container]:
    """Those that match: of the filters with one key any, but every label; of different keys all."""
    groups = [
        [_FILTERS[key](engine, value) for key, value in group]
        for group in grouped(filters, _FILTERS)
    ]
    return [
        container
        for container in containers
        if all(any(test(container) for test in group) for group in groups)
    ]


def _id(engine: Engine, value: str) -> Callable[[Container], bool]:
    return lambda container: container.id.startswith(value)


def _name(engine: Engine, value: str) -> Callable[[Container], bool]:
    import re

    try:
        pattern = re.compile(value)
    except re.error as error:
        raise InvalidRequest(f"filter name={value}: {error}") from None
    return lambda container: pattern.search(container.name) is not None


def _status(engine: Engine, value: str) -> Callable[[Container], bool]:
    known = (
        "created",
        "initialized",
        "running",
        "paused",
        "exited",
        "stopped",
        "restarting",
        "removing",
        "dead",
    )
    if value not in known:
        raise InvalidRequest(f"unknown status {value!r}", hint="one of " + ", ".join(known))
    wanted = "exited" if value == "stopped" else value
    return lambda container: container.status() == wanted


def _label(engine: Engine, value: str) -> Callable[[Container], bool]:
    return lambda container: has(container.record["labels"], value)


def _no_label(engine: Engine, value: str) -> Callable[[Container], bool]:
    return lambda container: not has(container.record["labels"], value)


def _exited(engine: Engine, value: str) -> Callable[[Container], bool]:
    if not value.isdigit():
        raise InvalidRequest(f"filter exited={value}: not an exit code")

    def test(container: Container) -> bool:
        last = container.record.get("last") or {}
        return container.status() == "exited" and last.get("exit_code") == int(value)

    return test


def _ancestor(engine: Engine, value: str) -> Callable[[Container], bool]:
    """Made from that image; a name without tag means any of its tags."""

    def test(container: Container) -> bool:
        identifier = container.record["image_id"].partition(":")[2]
        wanted = value.removeprefix("sha256:")
        return means_image(value, container.record["image"]) or (
            len(wanted) >= 4 and identifier.startswith(wanted)
        )

    return test


def _before(engine: Engine, value: str) -> Callable[[Container], bool]:
    bound = store.find(engine.paths, value).record["created"]
    return lambda container: container.record["created"] < bound


def _since(engine: Engine, value: str) -> Callable[[Container], bool]:
    bound = store.find(engine.paths, value).record["created"]
    return lambda container: container.record["created"] > bound


def _until(engine: Engine, value: str) -> Callable[[Container], bool]:
    from rootless.image.times import parse_since, parse_time

    bound = parse_since(value, now_s=None)
    return lambda container: parse_time(container.record["created"]) < bound


def _volume(engine: Engine, value: str) -> Callable[[Container], bool]:
    """Mounts that volume, or something on that path."""
    keys = ("Name", "Source", "Destination")

    def test(container: Container) -> bool:
        mounts = container.record.get("mounts", [])
        return any(mount.get(key) == value for mount in mounts for key in keys)

    return test


def _network(engine: Engine, value: str) -> Callable[[Container], bool]:
    def test(container: Container) -> bool:
        mode, _, options = container.record["launch"]["network"]
        return value == mode or value in options

    return test


def _health(engine: Engine, value: str) -> Callable[[Container], bool]:
    def test(container: Container) -> bool:
        health = (container.state() or {}).get("health") or {}
        return value == (health.get("Status") or "none")

    return test


def _restart_policy(engine: Engine, value: str) -> Callable[[Container], bool]:
    from rootless.engine.boot import policy_of

    return lambda container: policy_of(container) == value


def _should_start(engine: Engine, value: str) -> Callable[[Container], bool]:
    from rootless.engine.boot import starts_on_boot

    if value not in ("true", "false"):
        raise InvalidRequest(f"filter should-start-on-boot={value}: true or false")
    return lambda container: starts_on_boot(container) == (value == "true")


_FILTERS: dict[str, Callable[[Engine, str], Callable[[Container], bool]]] = {
    "id": _id,
    "name": _name,
    "status": _status,
    "label": _label,
    "label!": _no_label,
    "exited": _exited,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "until": _until,
    "volume": _volume,
    "network": _network,
    "health": _health,
    "restart-policy": _restart_policy,
    "should-start-on-boot": _should_start,
}
