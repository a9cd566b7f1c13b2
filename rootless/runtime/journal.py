"""The journal of what happened to containers, images, networks and volumes: what ``events`` shows.

No daemon watches, so whoever does something writes it down, in one appending write(2).  Two files of
bounded size are kept.  A journal that cannot be written never keeps a command from its work.
"""

from __future__ import annotations

import os
import time

from rootless import lean
from rootless.typed import TYPE_CHECKING, Any, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.paths import Paths
    from rootless.runtime.container import Record

MAX_BYTES = 4 << 20  # about ten thousand events; then it becomes ``journal.1``
_MAX_LINE = 1 << 16
_FIELDS = {"time", "type", "action", "id", "name", "attributes"}


class Entry(TypedDict):
    """A line of the journal; ``time`` in nanoseconds since 1970."""

    time: int
    type: str  # container, image, network, volume
    action: str
    id: str
    name: str
    attributes: dict[str, str]


def note(
    paths: Paths,
    kind: str,
    action: str,
    *,
    id: str,
    name: str = "",
    attributes: Mapping[str, object] | None = None,
) -> None:
    """Write one event down."""
    entry: Entry = {
        "time": time.time_ns(),
        "type": kind,
        "action": action,
        "id": id,
        "name": name or id,
        "attributes": {key: str(value) for key, value in (attributes or {}).items()},
    }
    line = lean.dumps(entry).encode() + b"\n"
    if len(line) > _MAX_LINE:  # labels without end
        line = lean.dumps({**entry, "attributes": {}}).encode() + b"\n"
    try:
        _append(paths, line)
    except OSError:
        pass


def note_container(paths: Paths, record: Record, action: str, **attributes: object) -> None:
    """Write down what happened to a container, with its image and labels."""
    given = {**record["labels"], "image": record["image"], **attributes}
    note(paths, "container", action, id=record["id"], name=record["name"], attributes=given)


def _append(paths: Paths, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        fd = os.open(paths.journal, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(paths.journal), mode=0o700, exist_ok=True)
        fd = os.open(paths.journal, flags, 0o600)
    try:
        os.write(fd, line)
        if os.fstat(fd).st_size > MAX_BYTES:
            _rotate(paths.journal, fd)
    finally:
        os.close(fd)


def _rotate(path: str, fd: int) -> None:
    """Whoever gets the lock renames, if nobody has done it yet; late writers still write the old file."""
    from rootless import files
    from rootless.errors import Conflict

    try:
        with files.lock(f"{path}.lock", wait=False):
            ours, current = os.fstat(fd), os.stat(path)
            if (ours.st_dev, ours.st_ino) == (current.st_dev, current.st_ino):
                os.rename(path, f"{path}.1")
    except Conflict:
        pass


def read(paths: Paths) -> tuple[list[Entry], Position]:
    """All that is kept, oldest first, and where it ended."""
    position = Position(paths.journal)
    entries = list(_parsed(_content(f"{paths.journal}.1")))
    return entries + position.newer(), position


class Position:
    """How far the journal was read; it follows a rotation."""

    def __init__(self, path: str):
        self._path = path
        self._file = -1
        self._rest = b""

    def newer(self) -> list[Entry]:
        """What was written since."""
        found: list[Entry] = []
        while True:
            found += self._read()
            fd = self._next_file()
            if fd is None:
                return found
            if self._file >= 0:
                found += self._read()  # what came in after the last look and before the rotation
                os.close(self._file)
            self._file, self._rest = fd, b""

    def _read(self) -> list[Entry]:
        content = self._rest
        while self._file >= 0 and (more := os.read(self._file, 1 << 20)):
            content += more
        lines, newline, self._rest = content.rpartition(b"\n")
        return list(_parsed(lines + newline))

    def _next_file(self) -> int | None:
        """The file that has the name now, unless that is the one being read."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if self._file >= 0 and os.fstat(fd).st_ino == os.fstat(self._file).st_ino:
            os.close(fd)
            return None
        return fd


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _parsed(content: bytes) -> Iterator[Entry]:
    """The entries in whole lines; what a crash or a full disk has cut is passed over."""
    for line in content.splitlines():
        try:
            entry: Any = lean.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and entry.keys() >= _FIELDS:
            yield cast("Entry", entry)
