"""Makes one layer of several.  CHILD SIDE: all of it runs inside the user namespace.

A stack is compared with the stack below it.  Both are made of the same directories, so what is the same
file in both is unchanged, and a directory that is the same in every layer need not be entered.
"""

from __future__ import annotations

import os
import stat

from rootless.storage import commit
from rootless.storage.changes import Change, same_attributes
from rootless.storage.stack import WHITEOUT_PREFIX, MergedDirectory
from rootless.storage.trees import allow_depth
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.digest import ChainID
    from rootless.storage.layer_store import LayerStore
    from rootless.storage.stack import Stack, Visible


class _Level(NamedTuple):
    """A directory on the way down: as it is on top, as it is below, and what is left of it."""

    top: MergedDirectory
    below: MergedDirectory
    entries: dict[bytes, Visible]
    before: dict[bytes, Visible]
    names: list[bytes]
    path: bytes


def squash(store: LayerStore, top: ChainID, target: commit.Target) -> commit.Made:
    """Make a layer on ``target.parent`` of that one's children up to ``top``."""
    allow_depth()
    packed = commit.pack(target, stack_changes(store.stack(top), store.stack(target.parent)))
    return commit.publish(
        store,
        target.parent,
        packed,
        lambda directory: commit.unpack_again(store, target, packed, directory),
    )


def stack_changes(top: Stack, below: Stack) -> Iterator[Change]:
    """What ``top`` shows and ``below`` does not, in the order of ``changes``."""
    levels = [_level(top.open(b""), below.open(b""), b"")]
    try:
        root = levels[0]
        if root.top.fds and _is_changed(root.top, root.below):
            yield Change(b"", root.top.fds[0], b".", os.fstat(root.top.fds[0]))
        yield from _gone(root)
        while levels:
            level = levels[-1]
            if not level.names:
                _close(levels.pop())
                continue
            name = level.names.pop()
            path = level.path + b"/" + name if level.path else name
            now, then = level.entries[name], level.before.get(name)
            if stat.S_ISSOCK(now.status.st_mode):
                continue
            if not stat.S_ISDIR(now.status.st_mode):
                if then is None or not _is_same(now.status, then.status):
                    yield Change(path, now.directory, name, now.status)
                continue
            inner = _level(level.top.child(name), level.below.child(name), path)
            levels.append(inner)
            if then is None or not inner.below.fds or _is_changed(inner.top, inner.below):
                yield Change(path, now.directory, name, now.status)
            if _identities(inner.top) == _identities(inner.below):
                _close(levels.pop())
                continue
            yield from _gone(inner)
    finally:
        for level in levels:
            _close(level)


def _level(top: MergedDirectory | None, below: MergedDirectory | None, path: bytes) -> _Level:
    top, below = top or MergedDirectory([]), below or MergedDirectory([])
    entries = top.entries()
    return _Level(top, below, entries, below.entries(), sorted(entries, reverse=True), path)


def _close(level: _Level) -> None:
    level.top.close()
    level.below.close()


def _gone(level: _Level) -> Iterator[Change]:
    for name in sorted(level.before):
        if name not in level.entries:
            path = level.path + b"/" + name if level.path else name
            yield Change(path, level.top.fds[0], name, None, WHITEOUT_PREFIX + name)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _identities(directory: MergedDirectory) -> list[tuple[int, int]]:
    return [(status.st_dev, status.st_ino) for status in map(os.fstat, directory.fds)]


def _is_changed(top: MergedDirectory, below: MergedDirectory) -> bool:
    """Whether a directory has other attributes or another time than below."""
    if not below.fds:
        return True
    now, then = os.fstat(top.fds[0]), os.fstat(below.fds[0])
    if _is_same(now, then):
        return False
    return now.st_mtime_ns != then.st_mtime_ns or not same_attributes(below.fds[0], top.fds[0])
