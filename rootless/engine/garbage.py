"""What nothing needs any more: blobs, unpacked layers, and what a killed process left."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

from rootless import files
from rootless.errors import Conflict
from rootless.image import garbage
from rootless.image.digest import encoded
from rootless.runtime import container as containers
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.storage.layer_store import LayerRecord

    UnpackedLayer = tuple[str, str, LayerRecord]


class Freed(NamedTuple):
    """What was deleted: digests of blobs, chain ids of layers, and how much space they took."""

    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    size_bytes: int = 0


@contextmanager
def exclusive(engine: Engine) -> Iterator[bool]:
    """Hold the store alone.  Yields False when somebody uses it."""
    try:
        with files.lock(engine.paths.store_lock, wait=False):
            yield True
    except Conflict:
        yield False


def collect(engine: Engine, *, downloads: bool = False) -> Freed | None:
    """Delete every blob and layer that no image, no container and no cached build step needs.

    With ``downloads`` also what an interrupted pull could go on with, and what removals left.

    None when another process uses the store: what it has brought is not referred to yet.
    """
    with exclusive(engine) as alone:
        if not alone:
            return None
        cached_blobs, cached_diff_ids = cached_layers(engine)
        layers = list(unpacked_layers(engine))
        needed = _needed_layers(engine, layers, cached_diff_ids)
        blobs = garbage.collect(engine.layout, keep=cached_blobs)
        removed, size_bytes = _remove_layers(engine, layers, needed)
        if downloads:
            size_bytes += _remove_downloads(engine)
            _empty_trash(engine)
    return Freed(
        blobs=tuple(digest for digest, _ in blobs),
        layers=tuple(removed),
        size_bytes=size_bytes + sum(size for _, size in blobs),
    )


def _needed_layers(
    engine: Engine, unpacked: list[UnpackedLayer], cached_diff_ids: set[str]
) -> set[str]:
    """The chain ids, without algorithm, of every layer that is needed, whatever form it has."""
    needed: set[str] = set()
    for each in containers.all_containers(engine.paths):
        needed.update(map(encoded, each.record["chain"]))
        needed.update(map(encoded, each.record.get("further_chain", ())))
    for layout in (engine.layout, *engine.layout.others):
        for image in layout.images():
            needed.update(map(encoded, image.chain))
    records = {name: record for _, name, record in unpacked}
    for name, record in records.items():
        if record.get("diff_id") in cached_diff_ids:
            needed.add(name)
            needed.update(_parents(record, records))
    return needed


def _parents(record: LayerRecord, records: dict[str, LayerRecord]) -> Iterator[str]:
    while parent := record.get("parent"):
        yield encoded(parent)
        record = records.get(encoded(parent), {})


def unpacked_layers(engine: Engine) -> Iterator[UnpackedLayer]:
    """Every unpacked layer: its directory, its chain id without algorithm, and its record, {} if damaged."""
    for form in files.names_in(engine.paths.layers):
        for name in files.names_in(f"{engine.paths.layers}/{form}"):
            path = f"{engine.paths.layers}/{form}/{name}"
            try:
                record: LayerRecord = json.loads(files.read_bytes(f"{path}/layer.json"))
            except (OSError, ValueError):
                record = {}
            yield path, name, record


def _remove_layers(
    engine: Engine, unpacked: list[UnpackedLayer], needed: set[str]
) -> tuple[list[str], int]:
    """Layers before their parents: a layer on disk always has its parents, also after a kill."""
    removed: list[str] = []
    size_bytes = 0
    records = {name: record for _, name, record in unpacked}

    def depth(layer: UnpackedLayer) -> int:
        return sum(1 for _ in _parents(layer[2], records))

    for path, name, record in sorted(unpacked, key=depth, reverse=True):
        if name in needed:
            continue
        size_bytes += record.get("size", 0)
        engine.layers.remove(path)
        removed.append(f"sha256:{name}")
    return removed, size_bytes


def cached_layers(engine: Engine) -> tuple[set[str], set[str]]:
    """The blobs and the diff ids of the layers that the build cache knows."""
    blobs: set[str] = set()
    diff_ids: set[str] = set()
    for name in files.names_in(engine.paths.steps):
        try:
            record = json.loads(files.read_bytes(f"{engine.paths.steps}/{name}"))
            blobs.add(record["digest"])
            diff_ids.add(record["diff_id"])
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not a record, or one that the build would not believe either
    return blobs, diff_ids


def _remove_downloads(engine: Engine) -> int:
    """Delete unfinished blobs.  The store is held alone, so nobody is downloading; returns their size."""
    size_bytes = 0
    for directory, _, names in os.walk(engine.paths.downloads):
        for name in names:
            size_bytes += os.lstat(f"{directory}/{name}").st_size
            os.unlink(f"{directory}/{name}")
    return size_bytes


def _empty_trash(engine: Engine) -> None:
    """Somebody may be removing the same tree; then the two help each other, and a rest waits for the sweep."""
    for name in files.names_in(engine.paths.trash):
        engine.layers.remove(f"{engine.paths.trash}/{name}")
