"""Which user namespace a container gets: ``--userns`` and its relatives, or the image's USER.

The layers lie on disk with the owners of the usual map.  In a container with another map the kernel's
overlay would show them as somebody else's, and idmapped mounts are not for us: they need rights over
the file system below.  So fuse-overlayfs serves the root from a process in the *usual* user namespace,
while the mount belongs to the container's: ids cross between them as numbers, and nothing is copied.
"""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.image_users import texts
from rootless.engine.isolation import of_container
from rootless.errors import HostLacks, InvalidRequest, NotFound, Unsupported
from rootless.runtime.options import Mount
from rootless.typed import TYPE_CHECKING, NamedTuple
from rootless.userns import modes
from rootless.userns.idmap import IdMap, IdRange

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.image.digest import ChainID
    from rootless.rootfs import Rootfs
    from rootless.runtime.container import Record
    from rootless.runtime.users import User

_SMALLEST_AUTO = 1024  # podman's


class Chosen(NamedTuple):
    """The map; ``user`` is who runs where nobody said, ``join`` a namespace file instead of a new one."""

    id_map: IdMap
    mode: str
    user: str = ""
    join: str = ""


def choose(engine: Engine, request: RunRequest, rootfs: Rootfs) -> Chosen | None:
    """What the flags say, None for the usual map.

    Raises InvalidRequest, NotFound, Conflict and HostLacks.
    """
    if request.subuidname or request.subgidname:
        raise Unsupported("--subuidname and --subgidname are for root only", hint="--userns auto")
    mode = modes.parse_mode(request.userns or "")
    if request.uidmap or request.gidmap:
        if mode.kind != "host":
            raise InvalidRequest(f"--userns {mode.kind} excludes --uidmap and --gidmap")
        _need_range(engine, "--uidmap")
        return Chosen(modes.custom(request.uidmap, request.gidmap, engine.id_map), "custom")
    match mode.kind:
        case "container":
            place = of_container(engine, "user", mode.place)["user"]
            return Chosen(_map_of(place, engine), mode.kind, join=place)
        case "ns":
            if not os.path.exists(mode.place):
                raise NotFound(f"no namespace file {mode.place}")
            return Chosen(_map_of(mode.place, engine), mode.kind, join=mode.place)
        case "host":
            return None
    _need_range(engine, f"--userns {mode.kind}")
    store = engine.id_map
    match mode.kind:
        case "keep-id":
            return _kept(engine, mode)
        case "nomap":
            uids, gids = modes.without_caller(store.uids), modes.without_caller(store.gids)
        case _:
            size = mode.number("size") or _needed(rootfs, store)
            taken = _taken(engine)
            uids = modes.free_range(store.uids, tuple(each.uids for each in taken), size)
            gids = modes.free_range(store.gids, tuple(each.gids for each in taken), size)
    return Chosen(IdMap(uids, gids, store.writer), mode.kind)


def _kept(engine: Engine, mode: modes.Mode) -> Chosen:
    uid, gid, size = (mode.number(key) for key in ("uid", "gid", "size"))
    return keep_id(
        engine,
        engine.host.uid if uid is None else uid,
        engine.host.gid if gid is None else gid,
        size,
    )


def keep_id(engine: Engine, uid: int, gid: int, size: int | None = None) -> Chosen:
    """The caller is ``uid:gid`` inside."""
    store = engine.id_map
    id_map = IdMap(
        modes.keep(store.uids, uid, size), modes.keep(store.gids, gid, size), store.writer
    )
    return Chosen(id_map, "keep-id", user=f"{uid}:{gid}")


def _passwd_with_caller(engine: Engine, chosen: Chosen, passwd: str) -> str | None:
    """passwd(5) of an image with a line for the caller; None where that uid has one."""
    uid = chosen.user.partition(":")[0]
    lines = [line.split(":") for line in passwd.splitlines()]
    if any(words[2:3] == [uid] for words in lines):
        return None
    taken = {words[0] for words in lines}
    name = engine.host.user if engine.host.user not in taken else f"user{uid}"
    separator = "" if passwd.endswith("\n") or not passwd else "\n"
    return f"{passwd}{separator}{name}:*:{chosen.user}::/:/bin/sh\n"


def for_image_user(engine: Engine, request: RunRequest, user: User) -> Chosen | None:
    """The map with which files of the caller belong to the image's USER, where there are such files.

    Only where nobody chose, and where it costs no copy of the image.
    """
    store = engine.id_map
    if user.uid == 0 or request.userns or store.is_single or not can_remap(engine):
        return None
    if user.uid >= modes.count(store.uids) or user.gid >= modes.count(store.gids):
        return None
    if request.network[:1] and request.network[0].startswith(("container:", "ns:")):
        return None
    if any(
        value and value.startswith(("container:", "ns:", "host"))
        for value in (request.pid, request.ipc, request.uts)
    ):
        return None
    for each in (*request.volume, *request.mount):
        if each.type == "bind" and _is_callers(each.source, engine.host.uid):
            return keep_id(engine, user.uid, user.gid)
    return None


def _is_callers(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return True  # it will be made, by us


def can_remap(engine: Engine) -> bool:
    """Whether layers can be shown under another map."""
    return bool(engine.host.fuse_overlayfs) and engine.driver.form.whiteouts == "overlay"


def prepare(
    engine: Engine,
    request: RunRequest,
    chosen: Chosen,
    rootfs: Rootfs,
    *,
    places: tuple[str, str],
    chain: tuple[ChainID, ...],
) -> tuple[Rootfs, tuple[Mount, ...]]:
    """What to mount under another map.  Raises HostLacks where that cannot be done.

    ``places`` are where the bundle is now, and where it will be.
    """
    if chosen.id_map == engine.id_map:
        return rootfs, ()
    if not can_remap(engine):
        raise HostLacks(
            f"--userns {chosen.mode} needs fuse-overlayfs: the kernel cannot show layers"
            " with other owners to an ordinary user",
            hint="rootless doctor says what is missing (see fuse)",
        )
    from rootless.storage.fuse_overlayfs import FuseOverlayfs

    scratch, bundle = places
    driver = FuseOverlayfs(engine.paths, engine.id_map)
    served = driver.rootfs(chain, scratch, volatile=request.rm)
    if not chosen.user or request.user:
        return served, ()
    text = _passwd_with_caller(engine, chosen, texts(rootfs, engine.id_map)[0])
    if text is None:
        return served, ()
    files.write_atomic(f"{scratch}/passwd", text.encode(), mode=0o644, durable=False)
    return served, (Mount("bind", f"{bundle}/passwd", "/etc/passwd", ("rbind", "rprivate")),)


def _need_range(engine: Engine, flag: str) -> None:
    if engine.id_map.is_single:
        raise HostLacks(
            f"{flag} needs subordinate ids: {engine.host.id_map_loss}", hint="rootless doctor"
        )


def _taken(engine: Engine) -> list[IdMap]:
    """The maps of containers with ``--userns auto``."""
    from rootless.runtime import container as store

    return [
        found
        for container in store.all_containers(engine.paths)
        if container.record["launch"].get("userns") == "auto"
        and (found := recorded(container.record)) is not None
    ]


def _needed(rootfs: Rootfs, id_map: IdMap) -> int:
    """As many ids as an image knows; nobody, who is always far away, does not count."""
    numbers = [_SMALLEST_AUTO - 1]
    for text in texts(rootfs, id_map):
        for line in text.splitlines():
            words = line.split(":")
            if len(words) > 2 and words[2].isdigit() and words[0] not in ("nobody", "nogroup"):
                numbers.append(int(words[2]))
    return max(numbers) + 1


def document(chosen: Chosen) -> dict[str, object]:
    """The map as the record keeps it."""
    uids, gids = ([list(each) for each in ranges] for ranges in chosen.id_map[:2])
    return {"uids": uids, "gids": gids, "writer": chosen.id_map.writer}


def recorded(record: Record) -> IdMap | None:
    """The map of a container that has another than the usual one."""
    kept = record["launch"].get("id_map")
    if not kept:
        return None
    uids, gids = (tuple(IdRange(*each) for each in kept[key]) for key in ("uids", "gids"))
    return IdMap(uids, gids, kept["writer"])


def map_of(engine: Engine, record: Record) -> IdMap:
    """The map of a container."""
    return recorded(record) or engine.id_map


def _map_of(place: str, engine: Engine) -> IdMap:
    from rootless.userns import enter

    found = enter.maps_of(place)
    usual = engine.id_map
    return usual if (found.uids, found.gids) == (usual.uids, usual.gids) else found
