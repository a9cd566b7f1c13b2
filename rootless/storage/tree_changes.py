"""What was changed in a copy of layers (the driver vfs): the tree against the layers, name by name.

Runs inside the user namespace.  Order and meaning are those of ``changes``.
"""

from __future__ import annotations

import os
import stat

from rootless.storage.changes import Change, Skip, is_stub, same_attributes
from rootless.storage.stack import (
    DIRECTORY_FLAGS,
    WHITEOUT_PREFIX,
    MergedDirectory,
    Stack,
    Visible,
    list_directory,
    lstat,
)
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 18


class _Level(NamedTuple):
    """A directory on the way down: in the tree, in the layers, and what is left of it."""

    fd: int
    below: MergedDirectory
    entries: dict[bytes, Visible]
    names: list[bytes]
    path: bytes


def tree_changes(root: str, lower: Stack, copied_ns: int, skip: Skip) -> Iterator[Change]:
    """The changes in the copy at ``root``, which was complete at ``copied_ns`` (a ctime)."""
    levels = [_level(os.open(root, DIRECTORY_FLAGS), lower.open(b""), b"")]
    try:
        top = levels[0]
        if top.below.fds and not same_attributes(top.below.fds[0], top.fd):
            yield Change(b"", top.fd, b".", os.fstat(top.fd))
        yield from _gone(top)
        while levels:
            level = levels[-1]
            if not level.names:
                _close(levels.pop())
                continue
            name = level.names.pop()
            path = level.path + b"/" + name if level.path else name
            status = lstat(level.fd, name)
            if status is None or stat.S_ISSOCK(status.st_mode):
                continue
            change = Change(path, level.fd, name, status)
            visible = level.entries.get(name)
            if visible is None and path in skip.paths and is_stub(change):
                skip.dropped.append(path)
                continue
            if visible is None or _differs(change, visible, copied_ns, skip):
                yield change
            if stat.S_ISDIR(status.st_mode):
                child = os.open(name, DIRECTORY_FLAGS, dir_fd=level.fd)
                levels.append(_level(child, level.below.child(name), path))
                yield from _gone(levels[-1])
    finally:
        for level in levels:
            _close(level)


def _level(fd: int, below: MergedDirectory | None, path: bytes) -> _Level:
    below = below or MergedDirectory([])
    names = list_directory(fd)
    names.reverse()
    return _Level(fd, below, below.entries(), names, path)


def _close(level: _Level) -> None:
    os.close(level.fd)
    level.below.close()


def _gone(level: _Level) -> Iterator[Change]:
    there = set(level.names)
    for name in sorted(level.entries):
        if name not in there:
            path = level.path + b"/" + name if level.path else name
            yield Change(path, level.fd, name, None, WHITEOUT_PREFIX + name)


def _differs(change: Change, visible: Visible, copied_ns: int, skip: Skip) -> bool:
    now, then = change.status, visible.status
    assert now is not None
    if (now.st_mode, now.st_uid, now.st_gid) != (then.st_mode, then.st_uid, then.st_gid):
        return True
    if stat.S_ISLNK(now.st_mode):
        return os.readlink(change.name, dir_fd=change.parent) != os.readlink(
            change.name, dir_fd=visible.directory
        )
    if now.st_mtime_ns != then.st_mtime_ns and change.path not in skip.above:
        return True
    if stat.S_ISREG(now.st_mode) and now.st_size != then.st_size:
        return True
    # A further name of it is in the layer, which must hold the file to link to: as an overlay copies up.
    if stat.S_ISREG(now.st_mode) and now.st_nlink > then.st_nlink:
        return True
    # Nobody can set a ctime: what is older than the end of the copy was not touched since.
    if now.st_ctime_ns < copied_ns or not (stat.S_ISREG(now.st_mode) or stat.S_ISDIR(now.st_mode)):
        return False
    return _differs_inside(change, visible)


def _differs_inside(change: Change, visible: Visible) -> bool:
    ours = os.open(change.name, _READ, dir_fd=change.parent)
    try:
        theirs = os.open(change.name, _READ, dir_fd=visible.directory)
        try:
            if not same_attributes(ours, theirs):
                return True
            return stat.S_ISREG(visible.status.st_mode) and not _same_content(ours, theirs)
        finally:
            os.close(theirs)
    finally:
        os.close(ours)


def _same_content(one: int, other: int) -> bool:
    while True:
        first, second = os.read(one, _PIECE), os.read(other, _PIECE)
        if first != second:
            return False
        if not first:
            return True
