"""Gives unpacked files their owners, modes and xattrs, and keeps account of what did not fit.

Runs inside the user namespace.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, EPERM

from rootless.owners import Stat
from rootless.storage import attributes
from rootless.storage.attributes import Owners
from rootless.storage.tar_reader import DIRECTORY, text
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.storage.tar_reader import Entry
    from rootless.userns.idmap import IdMap

SPECIAL = stat.S_ISUID | stat.S_ISGID


class _First(NamedTuple):
    """The first file with an owner that does not fit."""

    path: bytes
    uid: int
    gid: int


class Ownership:
    """The owners of one layer's files under one id map."""

    def __init__(self, id_map: IdMap, *, always: bool = False):
        self._always = always  # also 0:0, where what is made may have inherited another group
        self.kept: dict[str, str] = {}  # records of links and the like, which have no user xattrs
        self._owners = Owners(id_map)
        self._single = id_map.is_single
        self._first: _First | None = None
        self._misfits = 0
        self._lost: dict[str, bytes] = {}  # xattrs that could not be kept, with their first file

    def set_open(self, fd: int, entry: Entry) -> None:
        """Owner, special mode bits and xattrs, in the order in which they do not undo each other.

        The special bits of a directory are left out: with the set-group-ID bit it would pass its
        group on to what is still to be made in it.
        """
        fits = self._owners.fit(entry.uid, entry.gid)
        if fits and (entry.uid or entry.gid or self._always):
            fits = _chown(fd, entry)
        if not fits:
            self._misfit(entry)
            self.keep(fd, entry.path, Stat(entry.uid, entry.gid, entry.mode))
        elif entry.mode & SPECIAL and entry.kind != DIRECTORY:
            os.fchmod(fd, entry.mode)
        if entry.xattrs:
            self._set_xattrs(fd, entry)

    def set_closed(self, directory: int, name: bytes, entry: Entry) -> None:
        """The same for what is not opened: symbolic links and FIFOs.  Sets the time as well."""
        fits = self._owners.fit(entry.uid, entry.gid)
        if fits and (entry.uid or entry.gid or self._always):
            fits = _lchown(directory, name, entry)
        if not fits:
            self._misfit(entry)
            self.kept[os.fsdecode(entry.path)] = str(Stat(entry.uid, entry.gid, entry.mode))
        if entry.xattrs:
            self._set_xattrs(f"/proc/self/fd/{directory}/{os.fsdecode(name)}", entry)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def reset(self, fd: int) -> None:
        """Make a directory root's, whatever an earlier entry said."""
        os.fchown(fd, 0, 0)

    def fits(self, entry: Entry) -> bool:
        """Whether the owner can be as the entry says."""
        return self._owners.fit(entry.uid, entry.gid)

    def keep(self, fd: int, path: bytes, record: Stat) -> None:
        """Write down beside the file what it should be."""
        if not attributes.keep_stat(fd, record):
            self.kept[os.fsdecode(path)] = str(record)

    def notices(self) -> tuple[str, ...]:
        """What a person should know: at most one sentence for owners and one for xattrs."""
        said = []
        if self._first:
            path, uid, gid = self._first
            more = f" and {self._misfits - 1} other files" if self._misfits > 1 else ""
            whose = "only one id is available" if self._single else "your id range has no such id"
            said.append(
                f"/{text(path)} (owner {uid}:{gid}){more} now belong to root inside, because {whose}; "
                "their true owners are kept for push and save"
            )
        if self._lost:
            name, path = next(iter(self._lost.items()))
            said.append(f"the extended attribute {text(name.encode())} of /{text(path)} is lost")
        return tuple(said)

    def _set_xattrs(self, file: int | str, entry: Entry) -> None:
        for name in attributes.set_xattrs(file, entry.xattrs):
            self._lost.setdefault(name, entry.path)

    def _misfit(self, entry: Entry) -> None:
        self._misfits += 1
        if self._first is None:
            self._first = _First(entry.path, entry.uid, entry.gid)


class Unowned(Ownership):
    """Everything belongs to whoever makes it: no owners, no set-id bits, no xattrs."""

    def set_open(self, fd: int, entry: Entry) -> None:
        """Nothing: the mode was given when the file was made."""

    def set_closed(self, directory: int, name: bytes, entry: Entry) -> None:
        """Only the time."""
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def reset(self, fd: int) -> None:
        """Nothing."""

    def fits(self, entry: Entry) -> bool:
        """Never, so that special bits are left out."""
        return False


def _chown(fd: int, entry: Entry) -> bool:
    try:
        os.fchown(fd, entry.uid, entry.gid)
    except OSError as error:
        if error.errno not in (EPERM, EINVAL):
            raise
        return False  # the file system, not the id map, has no such owner (NFS, some FUSE)
    return True


def _lchown(directory: int, name: bytes, entry: Entry) -> bool:
    try:
        os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (EPERM, EINVAL):
            raise
        return False
    return True
