"""``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from`` and an image's VOLUMEs, as mounts of a container.

Deciding writes nothing (``gather``); ``settled`` then makes the volumes, fills them, and takes the
anonymous ones back when the container does not come into being.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from rootless import files
from rootless.engine.requests import MountRequest
from rootless.errors import InvalidRequest, NotFound, StoreFailed, Unsupported
from rootless.runtime import container as store
from rootless.runtime.options import Mount
from rootless.runtime.parameters import check_target, clean_target
from rootless.storage.volumes import Volumes, check_name, check_options
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.image.documents import ContainerConfig
    from rootless.rootfs import Rootfs
    from rootless.runtime.users import User

# What says how a volume is made or filled, and is not for mount(2).
_OURS = frozenset(("nocreate", "copy", "nocopy", "z", "Z", "U"))
_KEYS = ("volume-opt=", "volume-label=", "volume-driver=")
_PROPAGATION = ("shared", "slave", "private", "unbindable")


class VolumeUse(NamedTuple):
    """A volume that a container mounts; ``copy`` says whether the image's content goes there."""

    name: str
    target: str
    anonymous: bool
    copy: bool
    labels: dict[str, str]
    options: dict[str, str]


class Gathered(NamedTuple):
    """All mounts that were asked for: for the runtime, for ``inspect``, and the volumes among them."""

    mounts: tuple[Mount, ...] = ()
    documents: tuple[dict[str, Any], ...] = ()
    volumes: tuple[VolumeUse, ...] = ()


def gather(engine: Engine, request: RunRequest, config: ContainerConfig, *, user: User) -> Gathered:
    """What is to be mounted where; the caller's own wishes win over inherited ones.

    Raises InvalidRequest for two mounts in one place, NotFound, Unsupported.
    """
    chosen = _by_target((*request.volume, *request.mount, *request.tmpfs))
    for inherited in (_from_others(engine, request.volumes_from), _of_image(request, config)):
        for each in inherited:
            chosen.setdefault(clean_target(each.target), each)
    volumes = Volumes(engine.paths, engine.id_map)
    parts = [_resolve(each, volumes, user) for each in chosen.values()]
    return Gathered(
        tuple(mount for mount, _, _ in parts),
        tuple(document for _, document, _ in parts),
        tuple(use for _, _, use in parts if use is not None),
    )


def _by_target(requests: Iterable[MountRequest]) -> dict[str, MountRequest]:
    chosen: dict[str, MountRequest] = {}
    for each in requests:
        target = check_target(each.target, each.source if each.type == "bind" else "")
        if target in chosen:
            raise InvalidRequest(f"two mounts on {target} were asked for")
        chosen[target] = each
    return chosen


def _from_others(engine: Engine, names: tuple[str, ...]) -> Iterator[MountRequest]:
    """``--volumes-from``: the volumes and bind mounts of other containers, running or not."""
    for text in names:
        name, _, words = text.partition(":")
        options = tuple(words.split(",")) if words else ()
        unknown = set(options) - {"ro", "rw", "z", "Z"}
        if unknown:
            raise InvalidRequest(f"--volumes-from {text}: unknown option {unknown.pop()!r}")
        for each in store.find(engine.paths, name).record.get("mounts", ()):
            if each["Type"] not in ("volume", "bind"):
                continue
            kept = tuple(word for word in each["Options"] if word not in ("U", *options))
            if options:
                kept = tuple(word for word in kept if word not in ("ro", "rw")) + options
            source = each["Name"] if each["Type"] == "volume" else each["Source"]
            yield MountRequest(each["Type"], source, each["Destination"], (*kept, "nocopy"))


def _of_image(request: RunRequest, config: ContainerConfig) -> Iterator[MountRequest]:
    """The VOLUMEs of the image, as ``--image-volume`` wants them."""
    if request.image_volume == "ignore":
        return
    for target in config.get("Volumes") or {}:
        if request.image_volume == "tmpfs":
            yield MountRequest("tmpfs", "", target)
        else:
            yield MountRequest("volume", "", target)


def _resolve(
    request: MountRequest, volumes: Volumes, user: User
) -> tuple[Mount, dict[str, Any], VolumeUse | None]:
    target = check_target(request.target, request.source if request.type == "bind" else "")
    match request.type:
        case "tmpfs":
            mount = Mount("tmpfs", "tmpfs", target, _tmpfs_options(request.options))
            return mount, _document(request, target), None
        case "bind":
            _check_source(request)
            mount = Mount("bind", request.source, target, _mount_options(request.options, user))
            return mount, _document(request, target, source=request.source), None
        case "volume":
            use = _volume_use(request, target)
            source = use.options.get("device") or (
                volumes.get(use.name).path if volumes.exists(use.name) else volumes.path(use.name)
            )
            document = _document(request, target, source=source)
            document |= {"Name": use.name, "Driver": "local"}
            return (
                Mount("bind", source, target, _mount_options(request.options, user)),
                document,
                use,
            )
    raise Unsupported(f"mounts of type {request.type} are not supported")


def _volume_use(request: MountRequest, target: str) -> VolumeUse:
    pairs = [each for each in request.options if each.startswith(_KEYS)]
    given: dict[str, dict[str, str]] = {"volume-opt": {}, "volume-label": {}}
    for each in pairs:
        kind, _, pair = each.partition("=")
        key, _, value = pair.partition("=")
        if kind == "volume-driver":
            check_driver(key)
        else:
            given[kind][key] = value
    return VolumeUse(
        name=check_name(request.source) if request.source else files.random_name(32),
        target=target,
        anonymous=not request.source,
        copy="nocopy" not in request.options,
        labels=given["volume-label"],
        options=check_options(given["volume-opt"]),
    )


def check_driver(name: str) -> None:
    """Raise Unsupported for a volume driver other than ``local``."""
    if name != "local":
        raise Unsupported(f"volume driver {name} is not supported", hint="local is the only one")


def _check_source(request: MountRequest) -> None:
    """A missing source is an error for ``--mount``, and made for ``-v``."""
    if os.path.exists(request.source):
        return
    if "nocreate" in request.options or os.path.lexists(request.source):
        raise NotFound(
            f"no file or directory {request.source}", hint=f"mkdir -p {request.source}, or use -v"
        )
    try:
        os.makedirs(request.source)
    except OSError as error:
        raise InvalidRequest(
            f"cannot make the directory {request.source}: {error.strerror}"
        ) from None


def _mount_options(given: tuple[str, ...], user: User) -> tuple[str, ...]:
    options = [each for each in given if each not in _OURS and not each.startswith(_KEYS)]
    for each in options:
        if each == "O" or each.startswith(("idmap", "upperdir=", "workdir=", "subpath=")):
            raise Unsupported(f"the option {each} of a mount is not supported")
    if "U" in given:
        raise Unsupported("the option U of a mount is not supported")
    return tuple(options)


def _tmpfs_options(given: tuple[str, ...]) -> tuple[str, ...]:
    """docker's defaults, and copy-up as podman has it unless it was declined."""
    options = ["nosuid", "nodev"]
    options += [each for each in given if each not in ("tmpcopyup", "notmpcopyup")]
    if "notmpcopyup" not in given:
        options.append("copy-up")
    return tuple(options)


def _document(request: MountRequest, target: str, *, source: str = "") -> dict[str, Any]:
    """As docker's ``inspect`` lists a mount; ``Options`` is podman's."""
    words = [each for each in request.options if each != "nocreate"]
    kinds = [each for each in words if each.endswith(_PROPAGATION)]
    return {
        "Type": request.type,
        "Source": source,
        "Destination": target,
        "Mode": ",".join(words),
        "Options": words,
        "RW": not {"ro", "rro"}.intersection(words),
        "Propagation": "" if request.type == "tmpfs" else (kinds[0] if kinds else "rprivate"),
    }


@contextmanager
def settled(
    engine: Engine, gathered: Gathered, rootfs: Rootfs, *, owner: tuple[int, int]
) -> Iterator[None]:
    """Make and fill the volumes; until the end nobody removes them.

    The container must exist at the end: then it protects them.  When it does not come into being, the
    anonymous ones go again.
    """
    if not gathered.volumes:
        yield
        return
    volumes = Volumes(engine.paths, engine.id_map)
    with files.lock(engine.paths.volumes_lock, shared=True):
        made: list[str] = []
        try:
            for each in gathered.volumes:
                volumes.ensure(
                    each.name, labels=each.labels, options=each.options, anonymous=each.anonymous
                )
                if each.anonymous:
                    made.append(each.name)
                volumes.copy_up(each.name, rootfs, each.target, owner=owner, content=each.copy)
            yield
        except BaseException:
            for name in made:
                volumes.remove(name)
            raise


def remove_anonymous(engine: Engine, record: store.Record) -> None:
    """Remove the anonymous volumes that were made for a container, unless others use them."""
    names = record.get("anonymous_volumes")
    if not names:
        return
    volumes = Volumes(engine.paths, engine.id_map)
    with files.lock(engine.paths.volumes_lock):
        used = {name for name, _ in uses(engine)}
        for name in names:
            if name not in used:
                try:
                    volumes.remove(name)
                except (NotFound, StoreFailed):
                    continue


def uses(engine: Engine) -> Iterator[tuple[str, str]]:
    """Every volume that a container mounts, and the name of that container."""
    for container in store.all_containers(engine.paths):
        for each in container.record.get("mounts", ()):
            if each["Type"] == "volume":
                yield each["Name"], container.name
