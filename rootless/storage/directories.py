"""Open directories of a tree that is being written, by their paths inside it."""

from __future__ import annotations

import os
from errno import ELOOP, ENOENT, ENOTDIR

from rootless.kernel.openat2 import open_in_root
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST = 200


class Directories:
    """Resolves parents inside ``root`` and keeps their descriptors.

    ``make`` is called with an open directory, the missing name and its path, and makes it.
    A descriptor that was given out is good until the next entry (``begin``).
    """

    def __init__(self, root: int, make: Callable[[int, bytes, bytes], None]):
        self._root = root
        self._make = make
        self._open: dict[bytes, int] = {}
        self._retired: list[int] = []

    def begin(self) -> None:
        """Start with a new entry: close what ``forget`` let go of."""
        if self._retired or len(self._open) > _MOST:
            self.close()

    def get(self, path: bytes) -> int:
        """A descriptor of the directory; what is missing of it is made."""
        fd = self._open.get(path)
        if fd is None:
            fd = self._open[path] = self._resolve(path)
        return fd

    def forget(self) -> None:
        """Paths may lead elsewhere now, because a directory or a link was removed."""
        self._retired += self._open.values()
        self._open.clear()

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (*self._retired, *self._open.values()):
            os.close(fd)
        self._retired.clear()
        self._open.clear()

    def _resolve(self, path: bytes) -> int:
        try:
            return open_in_root(self._root, path, flags=FLAGS)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR, ELOOP):
                raise
        present, missing = self._split(path)
        fd = open_in_root(self._root, present, flags=FLAGS)
        for name in missing:
            present = present + b"/" + name if present else name
            try:
                self._make(fd, name, present)
                child = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            finally:
                os.close(fd)
            fd = child
        return fd

    def _split(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """The deepest part that is a directory, and the names after it."""
        missing: list[bytes] = []
        while path:
            path, _, name = path.rpartition(b"/")
            missing.insert(0, name)
            try:
                os.close(open_in_root(self._root, path, flags=FLAGS))
            except OSError as error:
                if error.errno not in (ENOENT, ENOTDIR, ELOOP):
                    raise
            else:
                break
        return path, missing
