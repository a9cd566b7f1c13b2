"""CHILD SIDE: places inside a root file system, opened so that no link of an image leads out of it."""

from __future__ import annotations

import errno
import os

from rootless.kernel import mount
from rootless.kernel.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

PLAIN = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
NO_LINKS = PLAIN | RESOLVE_NO_SYMLINKS
_MOST_LINKS = 40  # as many as the kernel follows
_PROC_SUPER_MAGIC = 0x9FA0
_SYSFS_MAGIC = 0x62656572


def open_mount_point(root: int, path: str, *, is_directory: bool, resolve: int = PLAIN) -> int:
    """``open_target`` for something that will be covered by a mount.

    A link of the image must not lead a volume over the kernel's own files (CVE-2019-16884), nor over the
    whole root: ELOOP.
    """
    fd = open_target(root, path, is_directory=is_directory, resolve=resolve)
    if resolve == PLAIN and (
        mount.filesystem_type(fd) in (_PROC_SUPER_MAGIC, _SYSFS_MAGIC)
        or os.path.samestat(os.fstat(fd), os.fstat(root))
    ):
        raise OSError(errno.ELOOP, "leads to the root or to the kernel's own files", path)
    return fd


def open_target(
    root: int, path: str, *, is_directory: bool, resolve: int = PLAIN, mode: int = 0o755
) -> int:
    """Open a mount point inside ``root``, making it and its parents where they are missing.

    A link that leads to nothing gets what it leads to, as docker does it for /etc/resolv.conf.
    Raises OSError: ELOOP for a link that ``resolve`` forbids.
    """
    for _ in range(_MOST_LINKS):
        try:
            return mount.open_in_root(root, path, os.O_PATH, resolve=resolve)
        except FileNotFoundError:
            pass
        link = _make_until_link(root, path, is_directory=is_directory, resolve=resolve, mode=mode)
        if link is None:
            return mount.open_in_root(root, path, os.O_PATH, resolve=resolve)
        path = link
    raise OSError(errno.ELOOP, "too many links", path)


def _make_until_link(
    root: int, path: str, *, is_directory: bool, resolve: int, mode: int
) -> str | None:
    """Make what is missing of ``path``; where a dangling link is in the way, the path that it means."""
    names = [name for name in path.split("/") if name and name != "."]
    parent = os.dup(root)
    try:
        for depth, name in enumerate(names):
            below = "/" + "/".join(names[: depth + 1])
            try:
                child = mount.open_in_root(root, below, os.O_PATH, resolve=resolve)
            except FileNotFoundError:
                try:
                    _make(parent, name, is_directory or depth < len(names) - 1, mode)
                except FileExistsError:
                    text = os.readlink(name, dir_fd=parent)
                    start = "" if text.startswith("/") else "/" + "/".join(names[:depth]) + "/"
                    return "/".join((start + text, *names[depth + 1 :]))
                child = mount.open_in_root(root, below, os.O_PATH, resolve=resolve)
            os.close(parent)
            parent = child
    finally:
        os.close(parent)
    return None


def _make(parent: int, name: str, is_directory: bool, mode: int) -> None:
    if is_directory:
        os.mkdir(name, mode, dir_fd=parent)
        return
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o644, dir_fd=parent))
