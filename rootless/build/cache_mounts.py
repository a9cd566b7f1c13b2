"""``RUN --mount=type=cache``: directories that outlive a build, found by their id.

``mounts/<digest of the id>/`` holds ``data``, ``lock`` and ``mount.json`` (the id, for people and for
export).  An id is hashed, never used as a path (CVE-2024-9675).
"""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.errors import Conflict
from rootless.image.digest import digest_of, encoded
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.paths import Paths

_PRIVATE_COPIES = 1000


class CacheMount(NamedTuple):
    """One cache directory, held by the descriptor of its lock."""

    directory: str
    lock: int

    @property
    def data(self) -> str:
        """What is mounted."""
        return f"{self.directory}/data"

    def release(self) -> None:
        """Let others have it."""
        os.close(self.lock)


def full_id(namespace: str, cache_id: str) -> str:
    """An id in the namespace that BUILDKIT_CACHE_MOUNT_NS gives."""
    return f"{namespace}/{cache_id}" if namespace else cache_id


def directory_of(paths: Paths, cache_id: str) -> str:
    """Where the cache of that id lies."""
    return f"{paths.mounts}/{encoded(digest_of(cache_id.encode()))}"


def acquire(paths: Paths, cache_id: str, sharing: str) -> CacheMount:
    """Take a cache directory: ``shared`` beside others, ``locked`` after them, ``private`` instead."""
    directory = directory_of(paths, cache_id)
    if sharing != "private":
        _make(directory, cache_id)
        return CacheMount(
            directory, files.open_lock(f"{directory}/lock", shared=sharing == "shared")
        )
    for copy in range(_PRIVATE_COPIES):
        place = f"{directory}-{copy}" if copy else directory
        _make(place, cache_id)
        try:
            return CacheMount(place, files.open_lock(f"{place}/lock", wait=False))
        except Conflict:
            continue
    raise Conflict(f"the cache {cache_id} is in use {_PRIVATE_COPIES} times")


def _make(directory: str, cache_id: str) -> None:
    if os.path.exists(f"{directory}/mount.json"):
        return
    os.makedirs(directory, mode=0o700, exist_ok=True)
    files.write_atomic(
        f"{directory}/mount.json", json.dumps({"id": cache_id}).encode(), durable=False
    )


def stored(paths: Paths) -> Iterator[tuple[str, str]]:
    """Every cache: its id and its directory."""
    for name in files.names_in(paths.mounts):
        directory = f"{paths.mounts}/{name}"
        try:
            cache_id = json.loads(files.read_bytes(f"{directory}/mount.json"))["id"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(cache_id, str):
            yield cache_id, directory
