"""Volumes: create, list, inspect, remove, prune, export, import."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.filters import has, truth
from rootless.engine.mount_options import check_driver
from rootless.engine.mounts import ensure, uses
from rootless.errors import Conflict, InvalidRequest, NotFound, RootlessError
from rootless.runtime.journal import note
from rootless.storage.volumes import Volumes
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.engine import Engine
    from rootless.errors import StoreFailed
    from rootless.storage.volumes import Volume


class CreateVolumeRequest(NamedTuple):
    """``volume create``; without a name it is anonymous.  ``label`` and ``opt`` are K=V."""

    name: str | None = None
    driver: str = "local"
    label: tuple[str, ...] = ()
    opt: tuple[str, ...] = ()
    ignore: bool = False


class RemoveVolumesRequest(NamedTuple):
    """``volume rm``; ``force`` removes the containers too, and does not mind a missing volume."""

    volumes: tuple[str, ...] = ()
    all: bool = False
    force: bool = False


class ListedVolume(NamedTuple):
    """A volume and the names of the containers that mount it."""

    volume: Volume
    containers: tuple[str, ...]


def volumes_of(engine: Engine) -> Volumes:
    """The volumes of this user."""
    return Volumes(engine.paths, engine.id_map)


def create(engine: Engine, request: CreateVolumeRequest) -> Volume:
    """Make a volume.  Raises Conflict for a name that is taken, InvalidRequest, Unsupported."""
    check_driver(request.driver)
    volumes = volumes_of(engine)
    labels, options = _pairs(request.label), _pairs(request.opt)
    if request.ignore and request.name is not None:
        return ensure(engine, request.name, labels=labels, options=options)
    volume = volumes.create(request.name, labels=labels, options=options)
    note(engine.paths, "volume", "create", id=volume.name)
    return volume


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {key: value for key, _, value in (each.partition("=") for each in texts)}


def list_volumes(
    engine: Engine, filters: tuple[str, ...] = (), *, damaged: list[StoreFailed] | None = None
) -> list[ListedVolume]:
    """The volumes that pass all filters, by name.

    Damaged containers and volumes are added to ``damaged``; without it the former are an error.
    Raises InvalidRequest for an unknown filter.
    """
    tests = [_filter(each) for each in filters]
    users = _users(engine, damaged)
    listed = [
        ListedVolume(each, tuple(users.get(each.name, ())))
        for each in volumes_of(engine).all(damaged)
    ]
    return [each for each in listed if all(test(each) for test in tests)]


def _users(engine: Engine, damaged: list[StoreFailed] | None = None) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for volume, container in uses(engine, damaged):
        if container not in users.setdefault(volume, []):
            users[volume].append(container)
    return users


def _filter(text: str) -> Callable[[ListedVolume], bool]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} is not a filter", hint="write key=value")
    match key:
        case "name":
            return lambda each: value in each.volume.name
        case "label":
            return lambda each: has(each.volume.labels, value)
        case "label!":
            return lambda each: not has(each.volume.labels, value)
        case "opt":
            return lambda each: has(each.volume.options, value)
        case "driver":
            return lambda each: value == "local"
        case "scope":
            return lambda each: value == "local"
        case "dangling":
            dangling = truth(value)
            return lambda each: (not each.containers) == dangling
        case "anonymous":
            anonymous = truth(value)
            return lambda each: each.volume.anonymous == anonymous
        case "until":
            from rootless.image.times import parse_since, parse_time

            bound = parse_since(value, now_s=None)
            return lambda each: parse_time(each.volume.created) < bound
    raise InvalidRequest(
        f"unknown filter {key!r}",
        hint="name, label, label!, dangling, anonymous, driver, opt or until",
    )


def inspect(engine: Engine, name: str) -> ListedVolume:
    """A volume and who mounts it.  Raises NotFound."""
    volume = volumes_of(engine).get(name)
    return ListedVolume(volume, tuple(_users(engine, engine.damaged).get(volume.name, ())))


def exists(engine: Engine, name: str) -> bool:
    """Whether there is such a volume."""
    try:
        volumes_of(engine).get(name)
    except RootlessError:
        return False
    return True


def remove(engine: Engine, request: RemoveVolumesRequest) -> list[str]:
    """Remove volumes; their names.  Raises NotFound, Conflict naming the containers that mount one."""
    volumes = volumes_of(engine)
    removed = []
    for name in [each.name for each in volumes.all()] if request.all else request.volumes:
        try:
            full_name = volumes.full_name(name)
            if request.force:
                _remove_users(engine, full_name)
            with files.lock(engine.paths.volumes_lock):
                _refuse_in_use(full_name, _users(engine).get(full_name, []))
                volumes.remove(full_name)
        except NotFound:
            if not request.force:
                raise
        else:
            removed.append(name)
            note(engine.paths, "volume", "remove", id=full_name)
    return removed


def _remove_users(engine: Engine, name: str) -> None:
    from rootless.engine.removal import remove as remove_container
    from rootless.runtime import container as store

    for user in _users(engine).get(name, ()):
        remove_container(engine, store.find(engine.paths, user), force=True)


def _refuse_in_use(name: str, users: list[str]) -> None:
    if users:
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        noun = "container" if len(users) == 1 else "containers"
        raise Conflict(
            f"volume {name} is used by {noun} {', '.join(users[:3])}{more}",
            hint=f"rootless rm {' '.join(users[:3])}, or volume rm -f to remove them too",
        )


def prune(
    engine: Engine, filters: tuple[str, ...] = (), *, all: bool = False
) -> tuple[list[str], int]:
    """Remove the volumes that no container mounts, without ``all`` only anonymous ones.

    Their names, and how many bytes they took.
    """
    volumes = volumes_of(engine)
    removed, size_bytes = [], 0
    with files.lock(engine.paths.volumes_lock):
        for each in list_volumes(engine, filters):
            if each.containers or not (all or each.volume.anonymous):
                continue
            size_bytes += size_of(engine, each.volume)
            volumes.remove(each.volume.name)
            removed.append(each.volume.name)
            note(engine.paths, "volume", "remove", id=each.volume.name)
    return removed, size_bytes


def size_of(engine: Engine, volume: Volume) -> int:
    """What a volume takes on disk in bytes; a directory of the host is not ours to count."""
    return 0 if "device" in volume.options else volumes_of(engine).size_bytes(volume.name)


def export(engine: Engine, name: str, path: str | None) -> None:
    """Write the content of a volume to a file, which appears whole or not at all, or to descriptor 1."""
    volumes = volumes_of(engine)
    volume = volumes.get(name)
    if path is None:
        volumes.export(volume.name, 1)
        return
    with files.whole_file(path, mode=0o600) as fd:
        volumes.export(volume.name, fd)


def import_archive(engine: Engine, name: str, path: str | None) -> tuple[str, ...]:
    """Add what is in an archive, or in descriptor 0, to a volume, which is made where there is none.

    Returns notices.  Raises ImageRefused for an archive that would leave the volume.
    """
    volumes = volumes_of(engine)
    try:
        fd = 0 if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None
    try:
        return volumes.import_archive(ensure(engine, name).name, fd)
    finally:
        if fd:
            os.close(fd)
