"""``system df``: what the store takes on disk, and how much of it could go.

Images are counted as they lie there: blobs and unpacked layers, each once however many images share it.
"""

from __future__ import annotations

import os

from rootless.build import cache_mounts
from rootless.build.cache import Cache
from rootless.engine.garbage import unpacked_layers
from rootless.engine.image_list import ImagesRequest, list_images
from rootless.engine.images import layer_sizes
from rootless.engine.sizes import sizes
from rootless.engine.volumes import list_volumes, size_of
from rootless.image.digest import encoded
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.build.cache import Record
    from rootless.engine import Engine
    from rootless.engine.garbage import UnpackedLayer
    from rootless.engine.image_list import ListedImage
    from rootless.engine.volumes import ListedVolume
    from rootless.runtime.container import Container


class Usage(NamedTuple):
    """A line of ``system df``: sizes in bytes."""

    kind: str
    total: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


class ImageUsage(NamedTuple):
    """An image: what it shares with others, and what would go with it."""

    listed: ListedImage
    shared_bytes: int
    unique_bytes: int


class ContainerUsage(NamedTuple):
    """A container and what it has written."""

    container: Container
    status: str
    size_bytes: int


class CacheUsage(NamedTuple):
    """A step's layer or a cache mount; ``shared`` says that an image has the layer as well."""

    name: str
    kind: str
    size_bytes: int
    created: str
    shared: bool


class DiskUsage(NamedTuple):
    """Everything, in the order of the table, with the details of ``-v``."""

    lines: tuple[Usage, ...]
    images: tuple[ImageUsage, ...]
    containers: tuple[ContainerUsage, ...]
    volumes: tuple[tuple[ListedVolume, int], ...]
    cache: tuple[CacheUsage, ...]


def disk_usage(engine: Engine) -> DiskUsage:
    """Measure the store."""
    with engine.use_store():
        listed = list_images(engine, ImagesRequest(filters=("readonly=false",)))
        unpacked = list(unpacked_layers(engine))
        parts = _sizes(engine, unpacked)
        containers = _containers(engine)
        volumes = tuple(
            (each, size_of(engine, each.volume)) for each in list_volumes(engine, damaged=[])
        )
        image_parts = {part for each in listed for part in _parts_of(each)}
        cache, cached_parts = _cache(engine, unpacked, parts, image_parts)
    lines = (
        _images_line(listed, parts, cached_parts),
        _containers_line(containers),
        _volumes_line(volumes),
        Usage(
            "Build Cache",
            len(cache),
            0,
            size := sum(each.size_bytes for each in cache if not each.shared),
            size,
        ),
    )
    return DiskUsage(lines, _images(engine, listed), containers, volumes, cache)


def _sizes(engine: Engine, unpacked: list[UnpackedLayer]) -> dict[str, int]:
    """Every blob, by its digest, and every unpacked layer, by ``layer `` and its chain id, in bytes."""
    from rootless.engine.check_images import stored_blobs

    sizes = {digest or path: os.lstat(path).st_size for path, digest in stored_blobs(engine.layout)}
    for _, name, record in unpacked:
        sizes[f"layer {name}"] = sizes.get(f"layer {name}", 0) + record.get("size", 0)
    return sizes


def _parts_of(listed: ListedImage) -> set[str]:
    image = listed.image
    return {
        image.manifest_descriptor["digest"],
        listed.digest,
        image.config_digest,
        *(layer["digest"] for layer in image.manifest["layers"]),
        *(f"layer {encoded(each)}" for each in image.chain),
    }


def _images_line(listed: list[ListedImage], parts: dict[str, int], cached: set[str]) -> Usage:
    """All that is not the build cache's is the images', also what nothing needs any more."""
    size = sum(size for part, size in parts.items() if part not in cached)
    active = [each for each in listed if each.containers]
    needed = {part for each in active for part in _parts_of(each)}
    return Usage(
        "Images",
        len({each.image.image_id for each in listed}),
        len({each.image.image_id for each in active}),
        size,
        size - sum(parts.get(part, 0) for part in needed),
    )


def _images(engine: Engine, listed: list[ListedImage]) -> tuple[ImageUsage, ...]:
    owners: dict[str, set[str]] = {}
    for each in listed:
        for chain_id in each.image.chain:
            owners.setdefault(chain_id, set()).add(each.image.image_id)
    found = []
    for each in listed:
        sizes = layer_sizes(engine, each.image)
        shared = sum(
            size
            for chain_id, size in zip(each.image.chain, sizes, strict=True)
            if len(owners[chain_id]) > 1
        )
        found.append(ImageUsage(each, shared, sum(sizes) - shared))
    return tuple(found)


def _containers(engine: Engine) -> tuple[ContainerUsage, ...]:
    found = tuple(store.all_containers(engine.paths, engine.damaged))
    known = sizes(engine, found)
    return tuple(ContainerUsage(each, each.status(), known[each.id].written) for each in found)


def _containers_line(containers: tuple[ContainerUsage, ...]) -> Usage:
    running = [each for each in containers if each.status in ("running", "paused")]
    size = sum(each.size_bytes for each in containers)
    return Usage(
        "Containers",
        len(containers),
        len(running),
        size,
        size - sum(each.size_bytes for each in running),
    )


def _volumes_line(volumes: Iterable[tuple[ListedVolume, int]]) -> Usage:
    volumes = tuple(volumes)
    return Usage(
        "Local Volumes",
        len(volumes),
        sum(bool(each.containers) for each, _ in volumes),
        sum(size for _, size in volumes),
        sum(size for each, size in volumes if not each.containers),
    )


# -- the build cache -------------------------------------------------------------------------------


def _cache(
    engine: Engine,
    unpacked: list[UnpackedLayer],
    parts: dict[str, int],
    image_parts: set[str],
) -> tuple[tuple[CacheUsage, ...], set[str]]:
    """The lines of the build cache, and the parts that only it needs."""
    by_diff_id: dict[str, list[str]] = {}
    for _, name, record in unpacked:
        by_diff_id.setdefault(record.get("diff_id", ""), []).append(f"layer {name}")
    lines: dict[str, CacheUsage] = {}
    own: set[str] = set()
    for _, step in Cache(engine.paths.steps).records():
        mine = {step.digest, *by_diff_id.get(step.diff_id, ())}
        lines[step.digest] = _step(step, mine, parts, image_parts)
        own |= mine - image_parts
    for cache_id, directory in cache_mounts.stored(engine.paths):
        lines[directory] = CacheUsage(
            cache_id, "mount", tree_size(engine, f"{directory}/data"), "", False
        )
    return tuple(lines.values()), own


def _step(step: Record, mine: set[str], parts: dict[str, int], image_parts: set[str]) -> CacheUsage:
    return CacheUsage(
        step.digest,
        "layer",
        sum(parts.get(part, 0) for part in mine),
        step.created,
        step.digest in image_parts,
    )


def tree_size(engine: Engine, path: str) -> int:
    """What a tree takes that may hold files of subordinate ids."""
    from rootless.storage.volumes import usage
    from rootless.userns import enter

    if not os.path.isdir(path):
        return 0
    return enter.call(lambda: usage(path), engine.id_map)
