"""Layers seen through each other, as a mounted overlay would show them.  Runs in the user namespace.

Components are opened one by one and never followed, whatever links a layer holds.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP

from rootless.storage import attributes
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WHITEOUT_PREFIX = b".wh."
OPAQUE_FILE = b".wh..wh..opq"
_MOST_LINKS = 40  # path_resolution(7)


class Visible(NamedTuple):
    """A name that is to be seen: the layer's open directory it is in, and its lstat."""

    directory: int
    status: os.stat_result


class MergedDirectory:
    """A directory of a stack: its descriptors in the layers that have it, the top one first.

    Its attributes are those of the first.  It owns the descriptors; use it as a context manager.
    """

    def __init__(self, fds: list[int]):
        self.fds = fds

    def __enter__(self) -> MergedDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def find(self, name: bytes) -> Visible | None:
        """What is visible under a name."""
        for fd in self.fds:
            status = lstat(fd, name)
            if status is not None:
                return None if is_whiteout(status) else Visible(fd, status)
            if lstat(fd, WHITEOUT_PREFIX + name):
                return None
        return None

    def entries(self) -> dict[bytes, Visible]:
        """Everything that is visible."""
        visible: dict[bytes, Visible] = {}
        hidden: set[bytes] = set()
        for fd in self.fds:
            hidden_here = set()
            for name in list_directory(fd):
                if name.startswith(WHITEOUT_PREFIX):
                    hidden_here.add(name.removeprefix(WHITEOUT_PREFIX))
                    continue
                status = lstat(fd, name)
                if status is None or name in hidden or name in visible:
                    continue
                if is_whiteout(status):
                    hidden_here.add(name)
                else:
                    visible[name] = Visible(fd, status)
            hidden |= hidden_here
        return visible

    def child(self, name: bytes) -> MergedDirectory | None:
        """The directory visible under a name, if it is one."""
        fds: list[int] = []
        for fd in self.fds:
            status = lstat(fd, name)
            if status is not None:
                if not stat.S_ISDIR(status.st_mode):
                    break
                fds.append(os.open(name, DIRECTORY_FLAGS, dir_fd=fd))
                if is_opaque(fds[-1]):
                    break
            if lstat(fd, WHITEOUT_PREFIX + name):
                break
        return MergedDirectory(fds) if fds else None


class Stack:
    """Directories of layers, the top one first."""

    def __init__(self, directories: tuple[str, ...]):
        self._directories = directories

    def resolve(self, path: bytes) -> bytes | None:
        """The path without links, followed inside the root; None when nothing is there.

        Raises OSError ELOOP for more than 40 links.
        """
        done: list[bytes] = []
        left = [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
        links = 0
        while left:
            name = left.pop()
            if name == b"..":
                del done[-1:]
                continue
            with self.open(b"/".join(done)) or MergedDirectory([]) as parent:
                found = parent.find(name)
                if found is None:
                    return None
                if not stat.S_ISLNK(found.status.st_mode):
                    done.append(name)
                    continue
                target = os.readlink(name, dir_fd=found.directory)
            links += 1
            if links > _MOST_LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP), os.fsdecode(path))
            if target.startswith(b"/"):
                done.clear()
            left += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
        return b"/".join(done)

    def open(self, path: bytes) -> MergedDirectory | None:
        """The directory visible at ``path``; the root is empty."""
        fds: list[int] = []
        for directory in self._directories:
            fds.append(os.open(directory, DIRECTORY_FLAGS))
            if is_opaque(fds[-1]):
                break
        merged = MergedDirectory(fds) if fds else None
        for name in path.split(b"/") if path else ():
            if merged is None:
                return None
            with merged:
                child = merged.child(name)
            merged = child
        return merged


def is_whiteout(status: os.stat_result) -> bool:
    """Whether a file of a layer says that a name is gone, the way overlayfs writes it."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def list_directory(fd: int) -> list[bytes]:
    """The raw names in an open directory, sorted."""
    return sorted(os.fsencode(name) for name in os.listdir(fd))


def lstat(fd: int, name: bytes) -> os.stat_result | None:
    """lstat of a name in an open directory, or None."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_opaque(fd: int) -> bool:
    """Whether the open directory hides what lower layers have in its place."""
    if lstat(fd, OPAQUE_FILE):
        return True
    for name in attributes.OPAQUE_MARKS:
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False
