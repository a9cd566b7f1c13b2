"""``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from`` and an image's VOLUMEs, as mounts of a container.

Deciding writes nothing (``gather``); ``settled`` then makes the volumes, fills them, and takes the
anonymous ones back when the container does not come into being.
"""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.mount_options import (
    PROPAGATION,
    VolumeUse,
    bind_options,
    check_source,
    image_options,
    in_memory,
    of_volume,
    overlay_options,
    volume_use,
)
from rootless.engine.requests import MountRequest
from rootless.errors import Conflict, HostLacks, InvalidRequest, NotFound, StoreFailed
from rootless.lean import contextmanager
from rootless.runtime import container as store
from rootless.runtime.journal import note
from rootless.runtime.options import Mount
from rootless.runtime.parameters import check_target, clean_target
from rootless.storage.volumes import Volumes, is_in_memory
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.events import Report
    from rootless.image.documents import ContainerConfig
    from rootless.rootfs import Rootfs
    from rootless.runtime.users import User
    from rootless.storage.driver import Driver
    from rootless.storage.volumes import Volume
    from rootless.userns.idmap import IdMap


class Gathered(NamedTuple):
    """All mounts that were asked for: for the runtime, for ``inspect``, and what they need.

    ``chain`` are the layers of images that are mounted.
    """

    mounts: tuple[Mount, ...] = ()
    documents: tuple[dict[str, Any], ...] = ()
    volumes: tuple[VolumeUse, ...] = ()
    chain: tuple[str, ...] = ()


class Place(NamedTuple):
    """The container that is being made: whose it is, where its bundle is written, and where it will be."""

    user: User
    scratch: str
    bundle: str


def gather(
    engine: Engine, request: RunRequest, config: ContainerConfig, place: Place, report: Report
) -> Gathered:
    """What is to be mounted where; the caller's own wishes win over inherited ones.

    Raises InvalidRequest for two mounts in one place, NotFound, Unsupported, HostLacks.
    """
    chosen = _by_target(_expanded((*request.volume, *request.mount, *request.tmpfs)))
    for inherited in (_from_others(engine, request.volumes_from), _of_image(request, config)):
        for each in inherited:
            chosen.setdefault(clean_target(each.target), each)
    resolver = _Resolver(engine, place, report)
    mounts = tuple(resolver.resolve(each, target) for target, each in chosen.items())
    return Gathered(
        mounts, tuple(resolver.documents), tuple(resolver.volumes), tuple(resolver.chain)
    )


def _expanded(requests: tuple[MountRequest, ...]) -> Iterator[MountRequest]:
    """A pattern stands for a bind mount of each file that fits, below the target."""
    for each in requests:
        if each.type != "glob":
            yield each
            continue
        from glob import glob

        found = sorted(glob(each.source))
        if not found:
            raise NotFound(f"no file fits {each.source}")
        for path in found:
            target = f"{each.target}/{os.path.basename(path)}"
            yield MountRequest("bind", path, target, ("nocreate", *each.options))


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


class _Resolver:
    """Turns one request after the other into a mount, and collects what comes with it."""

    def __init__(self, engine: Engine, place: Place, report: Report):
        self.documents: list[dict[str, Any]] = []
        self.volumes: list[VolumeUse] = []
        self.chain: list[str] = []
        self._engine = engine
        self._place = place
        self._report = report
        self._store = Volumes(engine.paths, engine.id_map)
        self._overlays = 0

    def resolve(self, request: MountRequest, target: str) -> Mount:
        """Raises InvalidRequest, NotFound, Unsupported, HostLacks."""
        check_target(target, request.source if request.type == "bind" else "")
        match request.type:
            case "tmpfs" | "ramfs" | "devpts":
                self._describe(request, target)
                return in_memory(request, target, self._place.user)
            case "image":
                self._describe(request, target, source=request.source)
                return self._image(request, target)
            case "volume":
                use = volume_use(request, target)
                self.volumes.append(use)
                volume = self._store.get(use.name) if self._store.exists(use.name) else None
                options = use.options if volume is None else volume.options
                if is_in_memory(options):
                    self._describe(request, target, Name=use.name, Driver="local")
                    return in_memory(of_volume(request, options["o"]), target, self._place.user)
                path = self._store.path(use.name) if volume is None else volume.path
                source = use.options.get("device") or path
                self._describe(request, target, source=source, Name=use.name, Driver="local")
            case _:
                check_source(request)
                source = request.source
                self._describe(request, target, source=source)
        if "O" in request.options:
            return self._overlay(request, source, target)
        return Mount("bind", source, target, bind_options(request, source, self._place.user))

    def _overlay(self, request: MountRequest, source: str, target: str) -> Mount:
        """``:O``: what is written goes to the bundle, and goes when the container starts anew."""
        loss = self._engine.host.overlay_loss
        if loss:
            raise HostLacks(f"cannot mount {source} with O: {loss}", hint="copy it, or use ro")
        options = overlay_options(request, source, self._place.user)
        if not any(each.startswith("upperdir=") for each in options):
            options += self._fresh()
        return Mount("overlay", "overlay", target, (f"lowerdir={source}", *options))

    def _fresh(self) -> tuple[str, ...]:
        self._overlays += 1
        name = f"overlay-{self._overlays}"
        os.mkdir(f"{self._place.scratch}/{name}")
        # Root of the container may be anybody; nobody else gets as far as here.
        os.chmod(f"{self._place.scratch}/{name}", 0o777)  # inside a private directory
        fresh = f"{self._place.bundle}/{name}"
        return (f"fresh={fresh}", f"upperdir={fresh}/upper", f"workdir={fresh}/work")

    def _image(self, request: MountRequest, target: str) -> Mount:
        """The files of another image: read-only, or with ``rw`` what is written is thrown away."""
        from rootless.engine.images import ensure

        image = ensure(self._engine, request.source, policy="missing", report=self._report)
        self.chain += image.chain
        self._overlays += 1
        directory = f"{self._place.scratch}/image-{self._overlays}"
        os.mkdir(directory)
        rootfs = _stacking(self._engine).rootfs(image.chain, directory)
        lower = [each.replace(self._place.scratch, self._place.bundle, 1) for each in rootfs.lower]
        writable = "rw" in request.options
        words = image_options(request)
        # overlayfs wants two directories where none is written.
        if len(lower) == 1 and not writable:
            return Mount("bind", lower[0], target, ("rro", *words))
        access = self._fresh() if writable else ("ro",)
        if rootfs.driver == "vfs":  # always one directory; it is copied once more at each start
            return Mount("bind", lower[0], target, (access[0], *words))
        layers = tuple(f"lowerdir={each}" for each in lower)
        return Mount("overlay", "overlay", target, (*layers, *access, *words))

    def _describe(
        self, request: MountRequest, target: str, *, source: str = "", **more: str
    ) -> None:
        """As docker's ``inspect`` lists a mount; ``Options`` is podman's."""
        words = [each for each in request.options if each != "nocreate"]
        kinds = [each for each in words if each in PROPAGATION]
        is_bind = request.type in ("bind", "volume", "glob")
        read_only = not {"ro", "rro"}.isdisjoint(words)
        if request.type == "image":
            read_only = "rw" not in words
        self.documents.append(
            {
                "Type": request.type,
                **more,
                "Source": source,
                "Destination": target,
                "Mode": ",".join(words),
                "Options": words,
                "RW": not read_only,
                "Propagation": (kinds[0] if kinds else "rprivate") if is_bind else "",
            }
        )


def _stacking(engine: Engine) -> Driver:
    """The driver for the layers of an image that is mounted: a container has one FUSE server, for its root."""
    if engine.driver.name != "fuse-overlayfs":
        return engine.driver
    from rootless.storage.vfs import Vfs

    return Vfs(engine.paths, engine.id_map, engine.driver.form)


@contextmanager
def settled(
    engine: Engine,
    gathered: Gathered,
    rootfs: Rootfs,
    *,
    owner: tuple[int, int],
    id_map: IdMap | None,
) -> Iterator[None]:
    """Make and fill the volumes; until the end nobody removes them.

    ``id_map`` is the container's, where that is not the store's.

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
                ensure(
                    engine,
                    each.name,
                    labels=each.labels,
                    options=each.options,
                    anonymous=each.anonymous,
                )
                if each.anonymous:
                    made.append(each.name)
                if not each.part:
                    volumes.copy_up(
                        each.name,
                        rootfs,
                        each.target,
                        owner=owner,
                        content=each.copy,
                        id_map=id_map,
                    )
            yield
        except BaseException:
            for name in made:
                volumes.remove(name)
                note(engine.paths, "volume", "remove", id=name)
            raise


def ensure(engine: Engine, name: str, **given: Any) -> Volume:
    """The volume of that name, made when there is none, which is an event (``Volumes.create``)."""
    volumes = Volumes(engine.paths, engine.id_map)
    if not volumes.exists(name):
        try:
            made = volumes.create(name, **given)
        except Conflict:
            pass  # another process was first
        else:
            note(engine.paths, "volume", "create", id=name)
            return made
    return volumes.ensure(name, **given)


def remove_anonymous(engine: Engine, record: store.Record) -> None:
    """Remove the anonymous volumes that were made for a container, unless others use them."""
    names = record.get("anonymous_volumes")
    if not names:
        return
    volumes = Volumes(engine.paths, engine.id_map)
    with files.lock(engine.paths.volumes_lock):
        try:
            used = {name for name, _ in uses(engine)}
        except StoreFailed:  # of a damaged container nobody knows: ``volume prune`` once it is gone
            return
        for name in names:
            if name not in used:
                try:
                    volumes.remove(name)
                except (NotFound, StoreFailed):
                    continue
                note(engine.paths, "volume", "remove", id=name)


def uses(engine: Engine, damaged: list[StoreFailed] | None = None) -> Iterator[tuple[str, str]]:
    """Every volume that a container mounts, and the name of that container (``damaged``: all_containers)."""
    for container in store.all_containers(engine.paths, damaged):
        for each in container.record.get("mounts", ()):
            if each["Type"] == "volume":
                yield each["Name"], container.name
