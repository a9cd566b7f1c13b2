"""What nothing needs any more: blobs, unpacked layers, and what a killed process left."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rootless import files
from rootless.errors import Conflict
from rootless.image import garbage
from rootless.image.digest import encoded
from rootless.runtime import container as containers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.storage.layer_store import LayerRecord


class Freed(NamedTuple):
    """What was deleted: digests of blobs, chain ids of layers, and how much space they took."""

    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    size_bytes: int = 0


@contextmanager
def exclusive(engine: Engine, *, wait: bool = False) -> Iterator[bool]:
    """Hold the store alone.  Yields False when somebody uses it and the caller would not wait."""
    try:
        with files.lock(engine.paths.store_lock, wait=wait):
            yield True
    except Conflict:
        yield False


def collect(engine: Engine, *, keep_cache: bool = True, wait: bool = False) -> Freed | None:
    """Delete every blob and layer that no image, no container and no cached build step needs.

    None when another process uses the store: what it has brought is not referred to yet.
    """
    with exclusive(engine, wait=wait) as alone:
        if not alone:
            return None
        cached_blobs, cached_diff_ids = _cached(engine) if keep_cache else (set(), set())
        layers = _needed_layers(engine, cached_diff_ids)
        blobs = garbage.collect(engine.layout, keep=cached_blobs)
        removed, size_bytes = _remove_layers(engine, layers)
    return Freed(
        blobs=tuple(digest for digest, _ in blobs),
        layers=tuple(removed),
        size_bytes=size_bytes + sum(size for _, size in blobs),
    )


def _needed_layers(engine: Engine, cached_diff_ids: set[str]) -> set[str]:
    """The chain ids, without algorithm, of every layer that is needed, whatever form it has."""
    needed: set[str] = set()
    for each in containers.all_containers(engine.paths):
        needed.update(map(encoded, each.record["chain"]))
    for image in engine.layout.images():
        needed.update(map(encoded, image.chain))
    records = {name: record for _, name, record in unpacked_layers(engine)}
    for name, record in records.items():
        if record.get("diff_id") in cached_diff_ids:
            needed.add(name)
            needed.update(_parents(record, records))
    return needed


def _parents(record: LayerRecord, records: dict[str, LayerRecord]) -> Iterator[str]:
    while parent := record.get("parent"):
        yield encoded(parent)
        record = records.get(encoded(parent), {})


def unpacked_layers(engine: Engine) -> Iterator[tuple[str, str, LayerRecord]]:
    """Every unpacked layer: its directory, its chain id without algorithm, and its record, {} if damaged."""
    for form in _names(engine.paths.layers):
        for name in _names(f"{engine.paths.layers}/{form}"):
            path = f"{engine.paths.layers}/{form}/{name}"
            try:
                record: LayerRecord = json.loads(files.read_bytes(f"{path}/layer.json"))
            except (OSError, ValueError):
                record = {}
            yield path, name, record


def _remove_layers(engine: Engine, needed: set[str]) -> tuple[list[str], int]:
    removed: list[str] = []
    size_bytes = 0
    for path, name, record in list(unpacked_layers(engine)):
        if name in needed:
            continue
        size_bytes += record.get("size", 0)
        engine.layers.remove(path)
        removed.append(f"sha256:{name}")
    return removed, size_bytes


def _cached(engine: Engine) -> tuple[set[str], set[str]]:
    """The blobs and the diff ids of the layers that the build cache knows."""
    blobs: set[str] = set()
    diff_ids: set[str] = set()
    for name in _names(engine.paths.steps):
        try:
            record = json.loads(files.read_bytes(f"{engine.paths.steps}/{name}"))
            blobs.add(record["digest"])
            diff_ids.add(record["diff_id"])
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not a record, or one that the build would not believe either
    return blobs, diff_ids


def remove_leftovers(engine: Engine) -> int:
    """Remove what killed processes left in ``scratch``, ``trash`` and ``downloads``; how many things."""
    removed = 0
    for name in _names(engine.paths.trash):
        engine.layers.remove(f"{engine.paths.trash}/{name}")
        removed += 1
    for path in unlocked_scratch(engine):
        engine.layers.remove(path)
        removed += 1
    return removed + _remove_downloads(engine)


def unlocked_scratch(engine: Engine) -> list[str]:
    """Scratch directories whose maker is gone."""
    return [
        path
        for name in _names(engine.paths.scratch)
        if not _is_held(path := f"{engine.paths.scratch}/{name}")
    ]


def _is_held(path: str) -> bool:
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _remove_downloads(engine: Engine) -> int:
    """Unfinished blobs that nobody downloads now.  The store is held alone, so no download begins."""
    removed = 0
    for directory, _, names in os.walk(engine.paths.downloads):
        for name in names:
            path = f"{directory}/{name}"
            lock = path if name.endswith(".lock") else f"{path}.lock"
            if not files.is_locked(lock):
                os.unlink(path)
                removed += not name.endswith(".lock")
    return removed


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
