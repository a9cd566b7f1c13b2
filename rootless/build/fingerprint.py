"""The identity of selected files: path, type, mode, owner, links, xattrs and content, but no times."""

from __future__ import annotations

import json
import os
import time
from stat import S_ISDIR, S_ISREG, S_ISSOCK

from rootless import files
from rootless.image.digest import new_sha256
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.build.selection import Entry, Item, View

_CHUNK = 1 << 20
_SETTLED_S = 2  # a file changed more recently may change again without showing it in its times
_FIELD = "\0"


def fingerprint(
    view: View,
    items: Iterable[Item],
    excludes: tuple[str, ...] = (),
    *,
    content: Callable[[Entry], str] | None = None,
    parts: dict[str, str] | None = None,
) -> str:
    """One digest over everything that is taken.  ``parts`` receives the digest of each file by path.

    ``content`` gives the digest of a file's bytes; by default it reads them.
    """
    from rootless.build.selection import walk

    content = content or content_digest
    total = new_sha256()
    for item in items:
        total.update(
            f"{item.name if not item.is_directory else ''}{_FIELD}".encode(
                "utf-8", "surrogateescape"
            )
        )
        for entry in walk(view, item, excludes):
            if S_ISSOCK(entry.status.st_mode):
                continue
            line = _line(view, entry, content)
            total.update(line)
            if parts is not None:
                path = f"{item.path}/{entry.path}".strip("/") or "."
                parts[path] = new_sha256(line).hexdigest()[:16]
    return f"sha256:{total.hexdigest()}"


def _line(view: View, entry: Entry, content: Callable[[Entry], str]) -> bytes:
    from rootless.build.selection import describe

    mode = entry.status.st_mode
    if S_ISREG(mode) or S_ISDIR(mode):
        fd = entry.open()
        try:
            made = describe(view, entry, fd)
        finally:
            os.close(fd)
    else:
        made = describe(view, entry)
    what = content(entry) if S_ISREG(mode) else entry.link or str(made.device)
    fields = [entry.path, oct(made.mode), str(made.owner.uid), str(made.owner.gid), what]
    for name, value in made.attributes:
        fields += [os.fsdecode(name), value.hex()]
    return (_FIELD.join(fields) + "\n").encode("utf-8", "surrogateescape")


def content_digest(entry: Entry) -> str:
    """The digest of a file's bytes."""
    import hashlib

    with open(entry.open(), "rb", buffering=0) as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class ContentDigests:
    """Digests of files that were read before, so that an unchanged context is not read again.

    A file is taken to be unchanged while its inode, size, mtime and ctime are.  ``path`` is where they are
    kept between builds; losing it loses time.
    """

    def __init__(self, path: str):
        self._path = path
        self._known: dict[str, str] = self._load()
        self._used: dict[str, str] = {}
        self._newest_ns = (int(time.time()) - _SETTLED_S) * 1_000_000_000

    def __call__(self, entry: Entry) -> str:
        status = entry.status
        key = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
        digest = self._known.get(key) or content_digest(entry)
        if max(status.st_mtime_ns, status.st_ctime_ns) < self._newest_ns:
            self._used[key] = digest
        return digest

    def save(self) -> None:
        """Keep what this build used."""
        if not self._used.keys() - self._known.keys():
            return
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        content = json.dumps(
            {**self._known, **self._used} if len(self._known) < 100_000 else self._used
        )
        files.write_atomic(self._path, content.encode(), durable=False)

    def _load(self) -> dict[str, str]:
        try:
            known = json.loads(files.read_bytes(self._path))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The paths that differ between two fingerprints' parts, in order."""
    paths = before.keys() | after.keys()
    return sorted(path for path in paths if before.get(path) != after.get(path))
