"""Writes the content of unpacked files: holes stay holes, and the disk is not filled to its end."""

from __future__ import annotations

import os
from errno import ENOSPC

from rootless import files
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.tar_reader import Entry

_ZEROS = memoryview(bytes(1 << 20))
_HOLE = 1 << 16  # zeros from this size on are not written
_CHECK_SPACE = 64 << 20
_KEEP_FREE = 64 << 20


class ContentWriter:
    """Writes files below ``root`` and counts what they hold; ``keep_free`` bytes of the disk stay free."""

    def __init__(self, root: int, *, keep_free: int = _KEEP_FREE):
        self.size_bytes = 0
        self._root = root
        self._keep_free = keep_free
        self._until_check = _CHECK_SPACE

    def write(self, fd: int, entry: Entry, content: Iterator[memoryview]) -> None:
        """Write the content of ``entry``.  Raises OSError ENOSPC before the disk is full."""
        if entry.segments is not None:
            self._write_segments(fd, entry, content)
            return
        hole = False
        for piece in content:
            length = len(piece)
            hole = length >= _HOLE and not piece[0] and piece == _ZEROS[:length]
            if hole:
                os.lseek(fd, length, os.SEEK_CUR)
                continue
            written = os.write(fd, piece)
            if written < length:
                files.write_all(fd, bytes(piece[written:]))
            self._account(length)
        if hole:
            os.ftruncate(fd, entry.size)

    def _write_segments(self, fd: int, entry: Entry, content: Iterator[memoryview]) -> None:
        piece = memoryview(b"")
        for segment in entry.segments or ():
            os.lseek(fd, segment.offset, os.SEEK_SET)
            left = segment.size
            while left:
                piece = piece or next(content)
                written = os.write(fd, piece[:left])
                piece, left = piece[written:], left - written
            self._account(segment.size)
        os.ftruncate(fd, entry.size)

    def _account(self, size: int) -> None:
        self.size_bytes += size
        self._until_check -= size
        if self._until_check < 0:
            self._until_check = _CHECK_SPACE
            space = os.fstatvfs(self._root)
            if space.f_bavail * space.f_frsize < self._keep_free:
                raise OSError(ENOSPC, os.strerror(ENOSPC))
