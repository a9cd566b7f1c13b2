"""syncfs(2)."""

from __future__ import annotations

from rootless.kernel.libc import c_int, function

_syncfs = function("syncfs", c_int)


def syncfs(fd: int) -> None:
    """Write everything of the file system that holds ``fd`` to its device."""
    _syncfs(fd)
