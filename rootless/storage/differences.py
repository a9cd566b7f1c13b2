"""What differs between two trees, path by path: a container and its layers, or two images.

Runs inside the user namespace.
"""

from __future__ import annotations

import os
import stat

from rootless.storage.changes import Skip, same_attributes, upper_changes
from rootless.storage.stack import OPAQUE_FILE, MergedDirectory, Stack, Visible
from rootless.storage.tree_changes import tree_changes
from rootless.storage.trees import allow_depth
from rootless.storage.vfs import copied_ns
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.rootfs import Rootfs
    from rootless.storage.changes import Change

ADDED, CHANGED, DELETED = "A", "C", "D"
Difference = tuple[str, bytes]


def container_differences(
    rootfs: Rootfs, lower: Stack, *, bundle: str, skip: tuple[str, ...]
) -> list[Difference]:
    """What a container changed, with the directories in which it did; mount targets are left out."""
    allow_depth()
    if rootfs.upper is not None:
        changes = upper_changes(rootfs.upper, lower, Skip(skip))
    else:
        changes = tree_changes(rootfs.lower[0], lower, copied_ns(bundle), Skip(skip))
    below = _Below(lower)
    found: dict[bytes, str] = {}
    try:
        for change in changes:
            found.update((path, kind) for kind, path in _kinds(change, below))
    finally:
        below.close()
    return _with_parents(found)


class _Below:
    """Looks names up in the layers; changes come directory by directory, so one is kept open."""

    def __init__(self, lower: Stack):
        self._lower = lower
        self._path: bytes | None = None
        self._directory: MergedDirectory | None = None

    def directory(self, path: bytes) -> MergedDirectory | None:
        if path != self._path:
            self.close()
            self._path, self._directory = path, self._lower.open(path)
        return self._directory

    def has(self, path: bytes) -> bool:
        if not path:
            return True
        parent, _, name = path.rpartition(b"/")
        directory = self.directory(parent)
        return directory is not None and directory.find(name) is not None

    def close(self) -> None:
        if self._directory is not None:
            self._directory.close()
        self._path = self._directory = None


def _kinds(change: Change, below: _Below) -> Iterator[Difference]:
    if change.whiteout == OPAQUE_FILE:
        # The directory was made anew: what is not in it any more is gone.
        parent = change.path.rpartition(b"/")[0]
        directory = below.directory(parent)
        names = set(directory.entries()) if directory is not None else set()
        left = {os.fsencode(each) for each in os.listdir(change.parent)}
        yield from ((DELETED, parent + b"/" + name) for name in sorted(names - left))
    elif change.whiteout:
        if below.has(change.path):
            yield DELETED, change.path
    else:
        yield CHANGED if below.has(change.path) else ADDED, change.path


def _with_parents(found: dict[bytes, str]) -> list[Difference]:
    """In the order of their names; a directory in which something changed has changed."""
    for path in list(found):
        above = path.rpartition(b"/")[0]
        while above and above not in found:
            found[above] = CHANGED
            above = above.rpartition(b"/")[0]
    return [(found[path], path) for path in sorted(found, key=lambda p: p.split(b"/")) if path]


def stack_differences(old: Stack, new: Stack) -> list[Difference]:
    """What became of ``old`` in ``new``."""
    allow_depth()
    found: dict[bytes, str] = {}
    before = old.open(b"") or MergedDirectory([])
    after = new.open(b"") or MergedDirectory([])
    _compare(before, after, b"", found)
    return _with_parents(found)


def _compare(
    before: MergedDirectory, after: MergedDirectory, path: bytes, found: dict[bytes, str]
) -> None:
    """Compare two directories, and close them."""
    with before, after:
        if _identities(before) == _identities(after):
            return  # the same directories of the same layers
        old, new = before.entries(), after.entries()
        for name in sorted(old.keys() | new.keys()):
            here = path + b"/" + name if path else name
            was, now = old.get(name), new.get(name)
            if now is None:
                found[here] = DELETED
            elif was is None:
                found[here] = ADDED
            elif _is_changed(name, was, now):
                found[here] = CHANGED
            if now is not None and stat.S_ISDIR(now.status.st_mode):
                kept = was is not None and stat.S_ISDIR(was.status.st_mode)
                _compare(
                    (before.child(name) if kept else None) or MergedDirectory([]),
                    after.child(name) or MergedDirectory([]),
                    here,
                    found,
                )


def _identities(merged: MergedDirectory) -> list[tuple[int, int]]:
    return [(status.st_dev, status.st_ino) for status in map(os.fstat, merged.fds)]


def _is_changed(name: bytes, was: Visible, now: Visible) -> bool:
    one, other = was.status, now.status
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return False
    if (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return True
    if stat.S_ISLNK(one.st_mode):
        return os.readlink(name, dir_fd=was.directory) != os.readlink(name, dir_fd=now.directory)
    if stat.S_ISDIR(one.st_mode):
        return not _alike(name, was, now)
    return (one.st_size, one.st_mtime_ns) != (other.st_size, other.st_mtime_ns)


def _alike(name: bytes, was: Visible, now: Visible) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    one = os.open(name, flags, dir_fd=was.directory)
    try:
        other = os.open(name, flags, dir_fd=now.directory)
        try:
            return same_attributes(one, other)
        finally:
            os.close(other)
    finally:
        os.close(one)
