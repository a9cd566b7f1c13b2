"""Finds a file below a root, and walks trees: mounted ones, and what a stack of layers shows.

Runs where the tree may be read, as a rule inside the user namespace.  Nobody's links lead out of the
root, and a directory that is replaced meanwhile is either the old one or the new one.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP

from rootless.kernel.openat2 import open_in_root
from rootless.storage.changes import Change
from rootless.storage.stack import DIRECTORY_FLAGS, list_directory, lstat
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.stack import MergedDirectory, Visible

_PARENT = os.O_PATH | os.O_DIRECTORY
_MOST_LINKS = 40  # path_resolution(7)


class Located(NamedTuple):
    """A name in an open directory, which the holder closes; ``status`` is None when nothing is there.

    ``name`` is ``.`` for a directory that was named by ``/``, ``.`` or ``..``.
    """

    parent: int
    name: bytes
    status: os.stat_result | None

    @property
    def is_directory(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    def open_directory(self) -> int:
        """The directory itself, to read.  Raises OSError when it has become something else."""
        return os.open(self.name, DIRECTORY_FLAGS, dir_fd=self.parent)


def locate(root: int, path: bytes, *, follow: bool) -> Located:
    """What ``path`` is below ``root``; a link at its end is followed with ``follow`` or a slash.

    Raises OSError: ENOENT and ENOTDIR where a directory on the way is missing or is none.
    """
    for _ in range(_MOST_LINKS):
        follow = follow or path.endswith(b"/")
        directory, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b"", b".", b".."):
            fd = open_in_root(root, path, flags=_PARENT)
            return Located(fd, b".", os.fstat(fd))
        parent = open_in_root(root, directory, flags=_PARENT)
        status = lstat(parent, name)
        if status is None or not stat.S_ISLNK(status.st_mode) or not follow:
            return Located(parent, name, status)
        try:
            target = os.readlink(name, dir_fd=parent)
        finally:
            os.close(parent)
        path = target if target.startswith(b"/") else directory + b"/" + target
    raise OSError(ELOOP, os.strerror(ELOOP), os.fsdecode(path))


def walk(place: Located, path: bytes) -> Iterator[Change]:
    """Everything at a place, under the name ``path``: directories before what is in them."""
    assert place.status is not None
    if not place.is_directory:
        yield Change(path, place.parent, place.name, place.status)
        return
    root = place.open_directory()
    levels = [(root, _waiting(root), path)]
    try:
        yield Change(path, root, b".", os.fstat(root))
        while levels:
            fd, names, directory = levels[-1]
            if not names:
                os.close(levels.pop()[0])
                continue
            name = names.pop()
            status = lstat(fd, name)
            if status is None or stat.S_ISSOCK(status.st_mode):  # gone; or nothing a tar could hold
                continue
            here = directory + b"/" + name if directory else name
            yield Change(here, fd, name, status)
            if stat.S_ISDIR(status.st_mode):
                child = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
                levels.append((child, _waiting(child), here))
    finally:
        for level in levels:
            os.close(level[0])


def _waiting(fd: int) -> list[bytes]:
    return list_directory(fd)[::-1]


def walk_merged(source: MergedDirectory) -> Iterator[Change]:
    """Everything that a stack of layers shows, and close it; the root comes first, with an empty path."""
    levels: list[tuple[MergedDirectory, list[tuple[bytes, Visible]], bytes]] = []
    try:
        levels.append((source, _visible(source), b""))
        yield Change(b"", source.fds[0], b".", os.fstat(source.fds[0]))
        while levels:
            merged, left, directory = levels[-1]
            if not left:
                levels.pop()[0].close()
                continue
            name, visible = left.pop()
            if stat.S_ISSOCK(visible.status.st_mode):
                continue
            here = directory + b"/" + name if directory else name
            yield Change(here, visible.directory, name, visible.status)
            if stat.S_ISDIR(visible.status.st_mode) and (child := merged.child(name)):
                levels.append((child, _visible(child), here))
    finally:
        for level in levels:
            level[0].close()


def _visible(merged: MergedDirectory) -> list[tuple[bytes, Visible]]:
    return sorted(merged.entries().items(), reverse=True)


def allow_depth() -> None:
    """A descriptor is held for every level of the tree that is looked at."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16), hard))
