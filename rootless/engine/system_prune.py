"""``system prune``: everything that nothing uses, in the order in which one thing frees the next."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.build import cache_mounts
from rootless.build.cache import Cache
from rootless.engine import garbage, networks, removal, volumes
from rootless.engine.filters import split
from rootless.engine.image_removal import PruneImagesRequest, prune_images
from rootless.errors import Conflict, InvalidRequest
from rootless.events import ignore
from rootless.image.digest import encoded
from rootless.image.times import parse_since
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.image_removal import Removed
    from rootless.events import Report


class SystemPruneRequest(NamedTuple):
    """What may go besides what nothing can use any more.

    ``all`` is every image without a container and the whole build cache; ``volumes`` are those that no
    container mounts.  ``filters`` are ``until=TIME`` and ``label[!]=KEY[=VALUE]``.
    """

    all: bool = False
    volumes: bool = False
    filters: tuple[str, ...] = ()


class Pruned(NamedTuple):
    """What went, by id or name, and how much space that gives in bytes."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    images: Removed
    steps: tuple[str, ...]
    size_bytes: int


def system_prune(engine: Engine, request: SystemPruneRequest, report: Report = ignore) -> Pruned:
    """Remove what nothing uses.  Raises InvalidRequest for a filter that does not fit all of it."""
    _check(request)
    stopped, freed = removal.prune(engine, request.filters)
    unused = networks.prune(engine, request.filters)
    unmounted: list[str] = []
    if request.volumes:
        unmounted, size_bytes = volumes.prune(engine, request.filters, all=True)
        freed += size_bytes
    steps, size_bytes = _prune_cache(engine, request)
    freed += size_bytes
    images = prune_images(engine, PruneImagesRequest(request.all, request.filters), report)
    return Pruned(
        containers=tuple(stopped),
        networks=tuple(unused),
        volumes=tuple(unmounted),
        images=images,
        steps=steps,
        size_bytes=freed + images.size_bytes,
    )


def _check(request: SystemPruneRequest) -> None:
    for text in request.filters:
        key, _, _ = split(text)
        if key not in ("until", "label"):
            raise InvalidRequest(f"nothing can be pruned by {key!r}", hint="by until or label")
        if key == "until" and request.volumes:
            raise InvalidRequest(
                "volumes cannot be pruned by their age", hint="leave out --volumes, or until="
            )


def _prune_cache(engine: Engine, request: SystemPruneRequest) -> tuple[tuple[str, ...], int]:
    """Steps that cannot be used any more; with ``all`` every step, cache mount and remembered layer.

    The cache knows no labels, so with such a filter it stays.
    """
    oldest_s = time.time()
    for text in request.filters:
        key, _, value = split(text)
        if key == "label":
            return (), 0
        oldest_s = parse_since(value, now_s=time.time())
    cache = Cache(engine.paths.steps)
    removed = []
    for key, record in list(cache.records()):
        path = f"{engine.paths.steps}/{encoded(key)}.json"
        useless = not engine.layout.has_blob(record.digest)
        if useless or (request.all and _age_of(path) < oldest_s):
            cache.forget(key)
            removed.append(record.digest)
    freed = _prune_mounts(engine, oldest_s) + _prune_compressed(engine) if request.all else 0
    return tuple(dict.fromkeys(removed)), freed


def _age_of(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _prune_mounts(engine: Engine, oldest_s: float) -> int:
    """Cache mounts that no build holds; the bytes they took."""
    from rootless.engine.disk_usage import tree_size

    freed = 0
    for _, directory in list(cache_mounts.stored(engine.paths)):
        try:
            with files.lock(f"{directory}/lock", wait=False):
                if _age_of(directory) >= oldest_s:
                    continue
                freed += tree_size(engine, f"{directory}/data")
                engine.layers.remove(directory)
        except (Conflict, FileNotFoundError):
            continue
    return freed


def _prune_compressed(engine: Engine) -> int:
    """Layers in another compression, kept for the next push."""
    freed = 0
    with garbage.exclusive(engine) as alone:
        names = (
            os.listdir(engine.paths.compressed) if os.path.isdir(engine.paths.compressed) else []
        )
        for name in names if alone else ():
            path = f"{engine.paths.compressed}/{name}"
            freed += os.lstat(path).st_size
            os.unlink(path)
    return freed
