"""What a container changed: an upper directory, or a tree against the layers it was copied from.

Runs inside the user namespace.  Changes come in the order of a good layer: a directory before what is
in it, whiteouts before their siblings, names in byte order.
"""

from __future__ import annotations

import os
import stat

from rootless.storage import attributes
from rootless.storage.stack import (
    DIRECTORY_FLAGS,
    OPAQUE_FILE,
    WHITEOUT_PREFIX,
    Stack,
    is_opaque,
    is_whiteout,
    list_directory,
    lstat,
)
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPAQUE_FILES = (OPAQUE_FILE, b".wh..opq")  # fuse-overlayfs writes both


class Change(NamedTuple):
    """A path that is in the layer.  ``parent`` is open while the change is looked at.

    ``whiteout`` is the name of the tar entry (``.wh.NAME``) when the path is gone; ``status`` is None
    then.
    """

    path: bytes
    parent: int
    name: bytes
    status: os.stat_result | None
    whiteout: bytes = b""


class Skip:
    """Mount targets: empty files and directories that were only made to be mounted on.

    ``dropped`` lists those that were met, the inner ones first.
    """

    def __init__(self, paths: tuple[str, ...]):
        self.dropped: list[bytes] = []
        self.paths = frozenset(os.fsencode(path.strip("/")) for path in paths)
        self.above = frozenset(
            path[:position]
            for path in self.paths
            for position in range(len(path))
            if path[position : position + 1] == b"/"
        )


def upper_changes(root: str, lower: Stack, skip: Skip) -> Iterator[Change]:
    """The changes in an overlay's upper directory.

    A directory in which nothing but a skipped path is new, and which is as it was below, is none.
    """
    fd = os.open(root, DIRECTORY_FLAGS)
    levels = [(fd, _in_order(fd, b"", lower))]
    held: list[tuple[int, Change]] = []  # directories that count only if something in them does
    try:
        if not _is_unchanged(Change(b"", fd, b".", os.fstat(fd)), lower):
            yield Change(b"", fd, b".", os.fstat(fd))
        while levels:
            fd, names = levels[-1]
            if not names:
                os.close(fd)
                levels.pop()
                while held and held[-1][0] >= len(levels):
                    skip.dropped.append(held.pop()[1].path)
                continue
            change = names.pop()
            if change.path in skip.paths and is_stub(change):
                skip.dropped.append(change.path)
                continue
            is_directory = change.status is not None and stat.S_ISDIR(change.status.st_mode)
            if is_directory and change.path in skip.above and _is_unchanged(change, lower):
                held.append((len(levels), change))
            else:
                yield from (each[1] for each in held)
                held.clear()
                yield change
            if is_directory:
                child = os.open(change.name, DIRECTORY_FLAGS, dir_fd=fd)
                levels.append((child, _in_order(child, change.path, lower)))
    finally:
        for level in levels:
            os.close(level[0])


def _in_order(fd: int, path: bytes, lower: Stack) -> list[Change]:
    """The changes directly in a directory, the first one last."""
    prefix = path + b"/" if path else b""
    gone, there = [], []
    if path and is_opaque(fd) and _is_below(path, lower):
        gone.append(Change(prefix + OPAQUE_FILE, fd, OPAQUE_FILE, None, OPAQUE_FILE))
    for name in list_directory(fd):
        status = lstat(fd, name)
        if status is None or name in _OPAQUE_FILES:
            continue
        if name.startswith(WHITEOUT_PREFIX):  # fuse-overlayfs where it cannot make devices
            gone.append(Change(prefix + name[4:], fd, name, None, name))
        elif is_whiteout(status):
            gone.append(Change(prefix + name, fd, name, None, WHITEOUT_PREFIX + name))
        elif not stat.S_ISSOCK(status.st_mode):  # a tar has no form for it
            there.append(Change(prefix + name, fd, name, status))
    return [*reversed(there), *reversed(gone)]


def _is_below(path: bytes, lower: Stack) -> bool:
    """Whether there is a directory to hide: fuse-overlayfs calls every new directory opaque."""
    below = lower.open(path)
    if below is not None:
        below.close()
    return below is not None


def is_stub(change: Change) -> bool:
    """Whether it is an empty file or directory."""
    if change.status is None:
        return False
    if stat.S_ISREG(change.status.st_mode):
        return change.status.st_size == 0
    if not stat.S_ISDIR(change.status.st_mode):
        return False
    fd = os.open(change.name, DIRECTORY_FLAGS, dir_fd=change.parent)
    try:
        return all(os.fsencode(name) in _OPAQUE_FILES for name in os.listdir(fd))
    finally:
        os.close(fd)


def _is_unchanged(change: Change, lower: Stack) -> bool:
    """Whether a directory has the attributes it has below; its time changes with every stub."""
    fd = os.open(change.name, DIRECTORY_FLAGS, dir_fd=change.parent)
    try:
        below = lower.open(change.path)
        if below is None:
            return not change.path and _is_fresh_root(os.fstat(fd))
        with below:
            return not is_opaque(fd) and same_attributes(below.fds[0], fd)
    finally:
        os.close(fd)


def _is_fresh_root(status: os.stat_result) -> bool:
    """Whether the root of a container without layers is as the driver made it."""
    return (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)


def same_attributes(one: int, other: int) -> bool:
    """Whether two open files have the same owner, mode and xattrs."""
    first, second = os.fstat(one), os.fstat(other)
    if (first.st_mode, first.st_uid, first.st_gid) != (
        second.st_mode,
        second.st_uid,
        second.st_gid,
    ):
        return False
    return attributes.read_xattrs(one)[:2] == attributes.read_xattrs(other)[:2]
