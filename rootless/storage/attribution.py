"""Whose the new files of a step are, where nobody could make them under another id than root's.

Runs inside the user namespace, over the changes of a container whose program believed to be ``owner``.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISDIR, S_ISREG

from rootless import owners
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.changes import Change
    from rootless.storage.stack import MergedDirectory, Stack

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def attributed(changes: Iterator[Change], below: Stack, owner: tuple[int, int]) -> Iterator[Change]:
    """The same changes; what is new among them is recorded as the owner's on the way.

    New is what the layers below do not have, and what replaced a file of another than root there.  Links
    and FIFOs have no place for a record.
    """
    parent, directory = b"", below.open(b"")
    try:
        for change in changes:
            if change.status is None or not change.path or not _is_open(change.status.st_mode):
                yield change
                continue
            above = change.path.rpartition(b"/")[0]
            if above != parent:
                _close(directory)
                parent, directory = above, below.open(above)
            _attribute(change, directory, owner)
            yield change
    finally:
        _close(directory)


def _is_open(mode: int) -> bool:
    return S_ISREG(mode) or S_ISDIR(mode)


def _close(directory: MergedDirectory | None) -> None:
    if directory is not None:
        directory.close()


def _attribute(change: Change, directory: MergedDirectory | None, owner: tuple[int, int]) -> None:
    fd = os.open(change.name, _READ, dir_fd=change.parent)
    try:
        if owners.read(fd) is None and _is_new(change, directory):
            owners.keep(fd, owners.Stat(*owner, S_IMODE(os.fstat(fd).st_mode)))
    finally:
        os.close(fd)


def _is_new(change: Change, directory: MergedDirectory | None) -> bool:
    found = directory.find(change.name) if directory is not None else None
    if found is None or not _is_open(found.status.st_mode):
        return found is None
    fd = os.open(change.name, _READ, dir_fd=found.directory)
    try:
        return owners.read(fd) is not None
    finally:
        os.close(fd)
