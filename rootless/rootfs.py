"""Rootfs: the value that storage makes and the runtime mounts."""

from __future__ import annotations

from rootless.typed import NamedTuple


class Rootfs(NamedTuple):
    """Directories that, mounted together, are a root filesystem.

    ``driver`` is ``overlay``, ``fuse-overlayfs`` or ``vfs`` (then ``lower`` is the one directory
    that is the root, and ``upper`` and ``work`` are None).  ``lower`` lists the top layer first, as
    overlayfs does.  ``options`` are further mount options (``userxattr``, ``volatile``).
    """

    driver: str
    lower: tuple[str, ...]
    upper: str | None = None
    work: str | None = None
    options: tuple[str, ...] = ()
