"""CHILD SIDE: what an image has at a mount point, copied into the tmpfs that covers it."""

from __future__ import annotations

import os
from stat import S_ISDIR


def copy_tree(source: int, target: int) -> None:
    """Copy what is in one directory to another, by descriptors: files, links, modes, owners, times.

    Its own mode and owner stay what the mount says.
    """
    with os.scandir(source) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(name, flags, dir_fd=source)
            above = os.open(name, flags, dir_fd=target)
            copy_tree(below, above)
            _copy_own_mode(below, above)
            os.close(below)
            os.close(above)
        elif status.st_mode & 0o170000 == 0o120000:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif status.st_mode & 0o170000 == 0o100000:
            _copy_file(source, target, name)
        else:
            continue
        _copy_owner(target, name, status)


def _copy_file(source: int, target: int, name: str) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    writer = os.open(name, flags, 0o600, dir_fd=target)
    while os.sendfile(writer, reader, None, 1 << 24):
        pass
    os.close(reader)
    os.close(writer)


def _copy_owner(target: int, name: str, status: os.stat_result) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if status.st_mode & 0o170000 != 0o120000:
        os.chmod(name, status.st_mode & 0o7777, dir_fd=target)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_own_mode(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o7777)
