"""The build cache: which layer a step made, by the step's key.

One file a key below ``steps/``, replaced as a whole; losing them loses time.  A record is a claim
that is checked on use: the layer that it names must be there (build.execute), so a killed build or
a pruned store makes a miss and never a wrong hit.
"""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.build.fingerprint import changed_parts
from rootless.build.keys import difference
from rootless.errors import RootlessError
from rootless.image.digest import DiffID, Digest, encoded, parse_digest
from rootless.storage.compression import MEDIA_TYPES
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_FILES = 5000  # per step, whose digests are kept to name the one that changed
_SHOWN = 3


class Record(NamedTuple):
    """The layer that a step made: its identity unpacked, the blob that holds it, and when (RFC 3339)."""

    diff_id: DiffID
    digest: Digest
    size_bytes: int
    media_type: str
    created: str


class Cache:
    """The records of one user; ``others`` are read-only sources asked when it has none.

    Records written before ``oldest_s`` (seconds since the epoch) are not found.
    """

    def __init__(
        self,
        directory: str,
        others: Iterable[Mapping[Digest, Record]] = (),
        *,
        oldest_s: float | None = None,
    ):
        self._directory = directory
        self._others = tuple(others)
        self._oldest_s = oldest_s

    def find(self, key: Digest) -> Record | None:
        """What is known under a key, here or in an imported cache."""
        path = self._path(key)
        record = parse_record(self._read(path))
        if record is not None and (
            self._oldest_s is None or os.stat(path).st_mtime >= self._oldest_s
        ):
            return record
        return next((other[key] for other in self._others if key in other), None)

    def record(self, key: Digest, record: Record) -> None:
        """Remember the layer of a step.  Called only when blob and layer are in their places."""
        self._write(self._path(key), record._asdict())

    def forget(self, key: Digest) -> None:
        """Remove a record that turned out to be wrong."""
        files.discard(self._path(key))

    def remember_parts(
        self, slot: Digest, parts: Mapping[str, str], contents: Mapping[str, str]
    ) -> None:
        """Keep what a step consisted of this time, to explain the next miss."""
        kept = dict(contents) if len(contents) <= _MAX_FILES else {}
        self._write(self._slot_path(slot), {"parts": dict(parts), "files": kept})

    def explain_miss(
        self, slot: Digest, parts: Mapping[str, str], contents: Mapping[str, str]
    ) -> str:
        """Why a step is not in the cache, compared with the last time it was built."""
        before = self._read(self._slot_path(slot))
        if not isinstance(before, dict) or not isinstance(before.get("parts"), dict):
            return "it was never built here"
        changed = difference(before["parts"], parts)
        if not changed:
            return "its layer is not stored any more"
        known = before.get("files")
        paths = changed_parts(known, dict(contents)) if isinstance(known, dict) and known else []
        if any(name.startswith("content of") for name in changed) and paths:
            return f"changed: {_some(paths)}"
        if changed == ["parent"]:
            return "what it is built on changed"
        return f"changed: {_some([name for name in changed if name != 'parent'])}"

    def records(self) -> Iterator[tuple[Digest, Record]]:
        """Every record of this user."""
        for name in files.names_in(self._directory):
            key, _, suffix = name.partition(".")
            record = (
                parse_record(self._read(f"{self._directory}/{name}")) if suffix == "json" else None
            )
            if record is not None:
                yield Digest(f"sha256:{key}"), record

    def _path(self, key: Digest) -> str:
        return f"{self._directory}/{encoded(key)}.json"

    def _slot_path(self, slot: Digest) -> str:
        return f"{self._directory}/last/{encoded(slot)}.json"

    def _read(self, path: str) -> Any:
        try:
            return json.loads(files.read_bytes(path))
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, path: str, content: Mapping[str, Any]) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_atomic(path, json.dumps(content).encode(), durable=False)


def parse_record(document: Any) -> Record | None:
    """A record from JSON that may be damaged or hostile; None unless it is well-formed."""
    try:
        size, created = document["size_bytes"], document["created"]
        if type(size) is not int or size < 0 or type(created) is not str:
            return None
        if document["media_type"] not in MEDIA_TYPES.values():
            return None
        return Record(
            DiffID(parse_digest(document["diff_id"])),
            parse_digest(document["digest"]),
            size,
            document["media_type"],
            created,
        )
    except (KeyError, TypeError, AttributeError, RootlessError):
        return None


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
