"""Copies what a stack of layers shows into one tree (the driver vfs).  Runs in the user namespace."""

from __future__ import annotations

import os
import stat
from errno import EBADF, EINVAL, ENOSYS, ENOTSUP, ENOTTY, EXDEV
from fcntl import ioctl

from rootless.storage.stack import DIRECTORY_FLAGS
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.stack import MergedDirectory, Visible

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 30
_NO_REFLINK = frozenset((EBADF, EINVAL, ENOSYS, ENOTSUP, ENOTTY, EXDEV))


class _Level(NamedTuple):
    fd: int
    source: MergedDirectory
    left: Iterator[tuple[bytes, Visible]]


class Flattener:
    """Fills one empty directory; files with several names in the layers have them in the copy too."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], bytes] = {}
        self._reflink = True

    def copy(self, source: MergedDirectory, target: str) -> None:
        """Copy everything visible in ``source``, and close it.  Raises OSError, as of a full disk."""
        root = os.open(target, DIRECTORY_FLAGS)
        levels = [_Level(root, source, iter(source.entries().items()))]
        path = b""
        try:
            while levels:
                fd, below, left = levels[-1]
                name, visible = next(left, (b"", None))
                if visible is None:
                    _copy_attributes(below.fds[0], fd)
                    levels.pop()
                    if levels:
                        os.close(fd)
                    below.close()
                    path = path.rpartition(b"/")[0]
                    continue
                child_path = path + b"/" + name if path else name
                if not stat.S_ISDIR(visible.status.st_mode):
                    self._copy(name, visible, fd, root, child_path)
                    continue
                os.mkdir(name, 0o700, dir_fd=fd)
                child = below.child(name)
                assert child is not None
                opened = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
                levels.append(_Level(opened, child, iter(child.entries().items())))
                path = child_path
        finally:
            for level in levels[1:]:
                os.close(level.fd)
            for level in levels:
                level.source.close()
            os.close(root)

    def _copy(self, name: bytes, visible: Visible, fd: int, root: int, path: bytes) -> None:
        status = visible.status
        if status.st_nlink > 1:
            first = self._names.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                os.link(first, name, src_dir_fd=root, dst_dir_fd=fd, follow_symlinks=False)
                return
        if stat.S_ISREG(status.st_mode):
            self._copy_file(name, visible, fd)
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=visible.directory), name, dir_fd=fd)
        elif stat.S_ISFIFO(status.st_mode):
            os.mkfifo(name, stat.S_IMODE(status.st_mode), dir_fd=fd)
        else:
            return
        os.chown(name, status.st_uid, status.st_gid, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=fd)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)

    def _copy_file(self, name: bytes, visible: Visible, fd: int) -> None:
        source = os.open(name, _READ, dir_fd=visible.directory)
        try:
            target = os.open(name, _CREATE, 0o600, dir_fd=fd)
            try:
                self._copy_content(source, target, visible.status.st_size)
                _copy_attributes(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _copy_content(self, source: int, target: int, size: int) -> None:
        if not size:
            return
        if self._reflink:
            try:
                ioctl(target, _FICLONE, source)
                return
            except OSError as error:
                if error.errno not in _NO_REFLINK:
                    raise
                self._reflink = False  # one file system, one answer
        copy_ranges(source, target, size)


def copy_ranges(source: int, target: int, size: int) -> None:
    """Copy the stretches of a file that hold something; holes stay holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError:
            break  # only a hole is left
        position = os.lseek(source, start, os.SEEK_HOLE)
        while start < position:
            done = _copy_some(source, target, start, min(position - start, _PIECE))
            if not done:
                break  # it became shorter meanwhile
            start += done
    os.ftruncate(target, size)


def _copy_some(source: int, target: int, start: int, size: int) -> int:
    try:
        return os.copy_file_range(source, target, size, start, start)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
    os.lseek(target, start, os.SEEK_SET)
    return os.sendfile(target, source, start, size)


def _copy_attributes(source: int, target: int) -> None:
    """Owner, mode, xattrs and time; changing the owner drops special bits and capabilities."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith("user.overlay."):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
