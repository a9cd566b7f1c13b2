"""Changes to a layer's tar stream.  Runs inside the user namespace.

The same changes give the same bytes: order, times in seconds, no names of users, no device numbers of
the host.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import StoreFailed
from rootless.owners import true_stat
from rootless.storage import attributes
from rootless.storage.streams import WriteBehind, read_all
from rootless.storage.tar_reader import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SYMLINK,
    Entry,
    text,
)
from rootless.storage.tar_writer import END, header, padding
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.owners import Stat
    from rootless.storage.changes import Change
    from rootless.storage.compression import Compressor

# O_NONBLOCK: should the name be a FIFO by now, opening it must not wait for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_PATH = 4095
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
}
_PLAIN = Entry(b"", FILE, 0o600, 0, 0, 0, 0, b"", (0, 0), (), None)


class Packed(NamedTuple):
    """A finished layer blob; ``content_bytes`` is what its files hold."""

    diff_id: str
    digest: str
    size_bytes: int
    content_bytes: int
    entries: int


class Packer:
    """Writes changes as a layer; ``latest`` is the latest time in seconds that a file may have.

    With ``settle`` later times are changed in the tree as well, so that it stays equal to the layer.
    """

    def __init__(
        self, fd: int, compressor: Compressor, *, latest: int | None = None, settle: bool = False
    ):
        self._out = WriteBehind(fd, compressor)
        self._latest_ns = None if latest is None else latest * 1_000_000_000
        self._settle = settle
        self._inodes: dict[tuple[int, int], bytes] = {}  # of files with several names: the first
        self._content_bytes = 0
        self._entries = 0

    def pack(self, changes: Iterable[Change]) -> Packed:
        """Write the changes in their order, and the end."""
        try:
            for change in changes:
                self._add(change)
                self._entries += 1
            self._out.write(END)
        finally:
            diff_id, digest, size_bytes = self._out.close()
        return Packed(diff_id, digest, size_bytes, self._content_bytes, self._entries)

    def _add(self, change: Change) -> None:
        if len(change.path) > _MOST_PATH:
            raise StoreFailed(f"{text(change.path[-64:])} lies too deep for a layer")
        status = change.status
        if status is None:
            parent = change.path.rpartition(b"/")[0]
            name = parent + b"/" + change.whiteout if parent else change.whiteout
            self._out.write(header(_PLAIN._replace(path=name)))
            return
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        if kind in (FILE, DIRECTORY):
            fd = os.open(change.name, _READ, dir_fd=change.parent)
            try:
                self._add_open(change.path, fd)
            finally:
                os.close(fd)
            return
        link = os.readlink(change.name, dir_fd=change.parent) if kind == SYMLINK else b""
        entry = self._entry(change.path, kind, status)._replace(link=link)
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry = entry._replace(device=(os.major(status.st_rdev), os.minor(status.st_rdev)))
        if self._is_late(status):
            self._set_time(change.name, change.parent)
        self._out.write(header(self._linked(entry, status)))

    def _add_open(self, path: bytes, fd: int) -> None:
        status = os.fstat(fd)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind not in (FILE, DIRECTORY):
            raise StoreFailed(f"/{text(path)} changed while it was read")
        recorded, xattrs, _ = attributes.read_xattrs(fd)
        entry = self._entry(path, kind, status, recorded)
        # A pax record has no way to write a key with an equals sign.
        pairs = sorted((os.fsencode(name), xattrs[name]) for name in xattrs if "=" not in name)
        entry = entry._replace(xattrs=tuple(pairs))
        if self._is_late(status):
            self._set_time(fd)
        if kind == FILE:
            entry = self._linked(entry._replace(size=status.st_size), status)
        if entry.kind == FILE and recorded and recorded.device and not status.st_size:
            entry = _as_device(entry, recorded.device)
        self._out.write(header(entry))
        if entry.kind != FILE:
            return
        for data in read_all(fd, entry.size):
            self._out.write(data)
        self._out.write(padding(entry.size))
        self._content_bytes += entry.size

    def _entry(
        self, path: bytes, kind: int, status: os.stat_result, recorded: Stat | None = None
    ) -> Entry:
        mode = stat.S_IMODE(status.st_mode)
        true = true_stat(status.st_uid, status.st_gid, mode, recorded)
        mtime_ns = status.st_mtime_ns
        if self._latest_ns is not None:
            mtime_ns = min(mtime_ns, self._latest_ns)
        return _PLAIN._replace(
            path=path, kind=kind, mode=true.mode, uid=true.uid, gid=true.gid, mtime_ns=mtime_ns
        )

    def _linked(self, entry: Entry, status: os.stat_result) -> Entry:
        """A hard link, when the file is in this layer under another name already."""
        if status.st_nlink < 2:
            return entry
        first = self._inodes.setdefault((status.st_dev, status.st_ino), entry.path)
        if first == entry.path:
            return entry
        return entry._replace(kind=HARD_LINK, link=first, size=0, xattrs=())

    def _is_late(self, status: os.stat_result) -> bool:
        return self._settle and self._latest_ns is not None and status.st_mtime_ns > self._latest_ns

    def _set_time(self, file: int | bytes, directory: int | None = None) -> None:
        times = (self._latest_ns or 0, self._latest_ns or 0)
        if directory is None:
            os.utime(file, ns=times)
        else:
            os.utime(file, ns=times, dir_fd=directory, follow_symlinks=False)


def _as_device(entry: Entry, device: str) -> Entry:
    """The device node in whose place the empty file lies."""
    kind, major, minor = device.split("-")
    return entry._replace(
        kind=CHARACTER if kind == "char" else BLOCK_DEVICE, device=(int(major), int(minor))
    )
