"""Puts the entries of a layer into an empty directory.  Runs inside the user namespace, as its root.

Every parent is resolved inside the layer's own root by the kernel and kept as a descriptor, so no
entry, whatever links came before it, touches anything outside.
"""

from __future__ import annotations

import os
import stat
from errno import (
    EDQUOT,
    EINVAL,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
)

from rootless import files
from rootless.errors import ImageRefused, StoreFailed
from rootless.kernel.openat2 import open_in_root
from rootless.owners import Stat
from rootless.storage import attributes
from rootless.storage.content import ContentWriter
from rootless.storage.directories import FLAGS, Directories
from rootless.storage.ownership import SPECIAL, Ownership
from rootless.storage.stack import (
    OPAQUE_FILE,
    WHITEOUT_PREFIX,
    MergedDirectory,
    Stack,
    is_whiteout,
    lstat,
)
from rootless.storage.tar_reader import CHARACTER, DIRECTORY, FIFO, FILE, HARD_LINK, SYMLINK, text
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.storage.tar_reader import Entry
    from rootless.userns.idmap import IdMap

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Extraction:
    """One layer on its way to disk: ``apply`` every entry, then ``finish`` once.

    With ``whiteouts`` ``none`` it is an ordinary archive, names mean themselves, and the directory
    may have content already.  ``explain`` makes the exception of an OSError and the entry's path.
    """

    def __init__(
        self,
        root: int,
        *,
        id_map: IdMap,
        whiteouts: str,
        ownership: Ownership | None = None,
        content: ContentWriter | None = None,
        explain: Callable[[OSError, bytes], Exception] | None = None,
    ):
        self.ownership = ownership or Ownership(id_map, always=whiteouts == "none")
        self.content = content or ContentWriter(root)
        self._explain = explain or _explained
        self._root = root
        self._overlay = whiteouts == "overlay"
        self._plain = whiteouts == "none"
        self._directories = Directories(root, self._make_parent)
        self._mtimes: dict[bytes, int] = {}
        self._modes: dict[bytes, int] = {}  # of directories with special bits, which come last
        self._implicit = {b""}  # directories that no entry describes
        self._hidden: set[bytes] = set()  # where this layer hides what is below
        self._opaque: set[bytes] = set()
        self._links: list[Entry] = []  # hard links to files of lower layers
        self._now = 0  # the time of the current entry
        self._makers: dict[int, Callable[[int, bytes, Entry], None]] = {
            DIRECTORY: self._make_directory,
            SYMLINK: self._make_symlink,
            HARD_LINK: self._make_link,
            FIFO: self._make_fifo,
        }

    def apply(self, entry: Entry, content: Iterator[memoryview]) -> None:
        """Make one entry.  Raises ImageRefused for one that cannot be, StoreFailed for a full disk."""
        try:
            self._apply(entry, content)
        except OSError as error:
            raise self._explain(error, entry.path) from None

    def finish(self, lower: Stack) -> None:
        """Do what needs the layers below, then set the directories' times."""
        path = b""
        try:
            for entry in self._links:
                path = entry.path
                self._link_lower(entry, lower)
            for path in sorted(self._implicit):
                self._inherit(path, lower)
            if self._overlay:
                self._drop_idle_whiteouts(lower)
            if b"" in self._opaque and self._overlay:
                self._hide_root(lower)
            for path, mode in self._modes.items():
                self._directories.begin()
                os.fchmod(self._directories.get(path), mode)
            for path, mtime_ns in self._mtimes.items():
                self._set_time(path, mtime_ns)
        except OSError as error:
            raise self._explain(error, path) from None
        finally:
            self._directories.close()

    def _apply(self, entry: Entry, content: Iterator[memoryview]) -> None:
        self._directories.begin()
        self._now = entry.mtime_ns
        parent, _, name = entry.path.rpartition(b"/")
        if not name:
            if entry.kind != DIRECTORY:
                raise ImageRefused("the root of the layer is not a directory")
            self._implicit.discard(b"")
            self._set_directory(self._root, entry)
            return
        directory = self._directories.get(parent)
        if name.startswith(WHITEOUT_PREFIX) and not self._plain:
            self._hide(directory, parent, name)
        elif entry.kind == FILE:
            self._make_file(directory, name, entry, content)
        else:
            self._makers.get(entry.kind, self._make_device)(directory, name, entry)

    # Kinds of entries

    def _make_parent(self, directory: int, name: bytes, path: bytes) -> None:
        """Make a directory for which there was no entry yet."""
        if name.startswith(WHITEOUT_PREFIX) and not self._plain:
            raise ImageRefused(f"{text(path)} is a directory with the name of a whiteout")
        try:
            os.mkdir(name, 0o755, dir_fd=directory)
        except FileExistsError:
            status = lstat(directory, name)
            if status is None or not is_whiteout(status):
                raise ImageRefused(f"{text(path)} is used as a directory and is none") from None
            os.unlink(name, dir_fd=directory)
            os.mkdir(name, 0o755, dir_fd=directory)
            self._make_opaque(directory, name)
        self._implicit.add(path)
        self._mtimes[path] = self._now

    def _create(self, directory: int, name: bytes, entry: Entry) -> int:
        try:
            return os.open(name, _CREATE, entry.mode & ~SPECIAL, dir_fd=directory)
        except FileExistsError:
            self._clear(directory, name, entry.path)
            return os.open(name, _CREATE, entry.mode & ~SPECIAL, dir_fd=directory)

    def _make_file(
        self, directory: int, name: bytes, entry: Entry, content: Iterator[memoryview]
    ) -> None:
        fd = self._create(directory, name, entry)
        try:
            if entry.size:
                self.content.write(fd, entry, content)
            self.ownership.set_open(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _make_device(self, directory: int, name: bytes, entry: Entry) -> None:
        """A user namespace may not have device nodes: an empty file with the record takes its place."""
        kind = "char" if entry.kind == CHARACTER else "block"
        device = f"{kind}-{entry.device[0]}-{entry.device[1]}"
        fd = self._create(directory, name, entry)
        try:
            record = Stat(entry.uid, entry.gid, entry.mode, device)
            self.ownership.keep(fd, entry.path, record)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _make_directory(self, directory: int, name: bytes, entry: Entry) -> None:
        made = True
        try:
            os.mkdir(name, entry.mode & 0o1777, dir_fd=directory)
        except FileExistsError:
            status = lstat(directory, name)
            made = status is None or not stat.S_ISDIR(status.st_mode)
            if made:
                # What was here before, a whiteout or a file, hides what is below; so must this.
                self._clear(directory, name, entry.path)
                os.mkdir(name, entry.mode & 0o1777, dir_fd=directory)
                self._make_opaque(directory, name)
                self._opaque.add(entry.path)
        self._implicit.discard(entry.path)
        simple = not (entry.xattrs or entry.mode & SPECIAL or entry.uid or entry.gid)
        if made and simple and not self._plain:
            self._mtimes[entry.path] = entry.mtime_ns
            return
        fd = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=directory)
        try:
            self._set_directory(fd, entry)
        finally:
            os.close(fd)

    def _set_directory(self, fd: int, entry: Entry) -> None:
        os.fchmod(fd, entry.mode & ~SPECIAL)
        self.ownership.reset(fd)
        self.ownership.set_open(fd, entry)
        self._mtimes[entry.path] = entry.mtime_ns
        self._modes.pop(entry.path, None)
        if entry.mode & SPECIAL and self.ownership.fits(entry):
            self._modes[entry.path] = entry.mode

    def _make_symlink(self, directory: int, name: bytes, entry: Entry) -> None:
        try:
            os.symlink(entry.link, name, dir_fd=directory)
        except FileExistsError:
            self._clear(directory, name, entry.path)
            os.symlink(entry.link, name, dir_fd=directory)
        self.ownership.set_closed(directory, name, entry)

    def _make_fifo(self, directory: int, name: bytes, entry: Entry) -> None:
        try:
            os.mkfifo(name, entry.mode & ~SPECIAL, dir_fd=directory)
        except FileExistsError:
            self._clear(directory, name, entry.path)
            os.mkfifo(name, entry.mode & ~SPECIAL, dir_fd=directory)
        self.ownership.set_closed(directory, name, entry)

    def _make_link(self, directory: int, name: bytes, entry: Entry) -> None:
        parent, _, target = entry.link.rpartition(b"/")
        if not target or entry.link == entry.path:
            raise ImageRefused(f"{text(entry.path)} is a hard link to itself or to the root")
        try:
            source = open_in_root(self._root, parent, flags=FLAGS)
        except FileNotFoundError:
            self._links.append(entry)
            return
        try:
            status = lstat(source, target)
            if status is None or is_whiteout(status):
                self._links.append(entry)
            elif stat.S_ISDIR(status.st_mode):
                raise ImageRefused(f"{text(entry.path)} is a hard link to a directory")
            else:
                self._link(source, target, directory, name, entry)
        finally:
            os.close(source)

    def _link(self, source: int, target: bytes, directory: int, name: bytes, entry: Entry) -> None:
        if lstat(directory, name) is not None:
            self._clear(directory, name, entry.path)
        os.link(target, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        kept = self.ownership.kept
        if record := kept.get(os.fsdecode(entry.link)):
            kept[os.fsdecode(entry.path)] = record

    # Whiteouts

    def _hide(self, directory: int, parent: bytes, name: bytes) -> None:
        hidden = name[len(WHITEOUT_PREFIX) :]
        if name == OPAQUE_FILE:
            self._opaque.add(parent)
            self._make_opaque(directory, b"")
            return
        if hidden.startswith(WHITEOUT_PREFIX):
            return  # bookkeeping of aufs, as in very old images; the peers skip it too
        if hidden in (b"", b".", b".."):
            raise ImageRefused(f"{text(parent)}/{text(name)} hides nothing that can be")
        self._hidden.add(parent + b"/" + hidden if parent else hidden)
        self._write_whiteout(directory, hidden)

    def _write_whiteout(self, directory: int, hidden: bytes) -> None:
        if self._overlay:
            try:
                os.mknod(
                    hidden, stat.S_IFCHR, 0, dir_fd=directory
                )  # in a user namespace: Linux 5.8
                return
            except FileExistsError:
                # The layer has the name itself, and that hides already, unless directories merge.
                status = lstat(directory, hidden)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    self._make_opaque(directory, hidden)
                return
            except PermissionError:
                pass  # older kernels; fuse-overlayfs, which they need, reads this form too
        _touch(directory, WHITEOUT_PREFIX + hidden)

    def _make_opaque(self, directory: int, name: bytes) -> None:
        if self._plain:
            return
        fd = os.open(name or b".", FLAGS | os.O_NOFOLLOW, dir_fd=directory)
        try:
            if self._overlay:
                os.setxattr(fd, attributes.OPAQUE, b"y")
            else:
                _touch(fd, OPAQUE_FILE)
        finally:
            os.close(fd)

    def _hide_root(self, lower: Stack) -> None:
        """Overlayfs does not look at the opaque mark of a layer's root: name what it hides."""
        with lower.open(b"") or MergedDirectory([]) as below:
            names = list(below.entries())
        for name in names:
            self._write_whiteout(self._root, name)

    def _clear(self, directory: int, name: bytes, path: bytes) -> None:
        """Remove what an earlier entry made where another one comes; the last one counts."""
        status = lstat(directory, name)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._directories.forget()
        if stat.S_ISDIR(status.st_mode):
            below = path + b"/"
            for each in [each for each in self._mtimes if each == path or each.startswith(below)]:
                del self._mtimes[each]
                self._modes.pop(each, None)
                self._implicit.discard(each)
        self.ownership.kept.pop(os.fsdecode(path), None)
        files.remove_at(directory, name)

    # The end

    def _link_lower(self, entry: Entry, lower: Stack) -> None:
        """Share a file with the layer it is in: overlayfs would have made a copy."""
        parent, _, name = entry.path.rpartition(b"/")
        source_parent, _, source_name = entry.link.rpartition(b"/")
        with lower.open(source_parent) or MergedDirectory([]) as source:
            found = source.find(source_name)
            if found is None or stat.S_ISDIR(found.status.st_mode):
                raise ImageRefused(
                    f"{text(entry.path)} is a hard link to nothing: {text(entry.link)}"
                )
            directory = self._directories.get(parent)
            self._link(found.directory, source_name, directory, name, entry)

    def _inherit(self, path: bytes, lower: Stack) -> None:
        """Give a directory that no entry describes what it has below, where overlayfs merges them."""
        source = None if self._is_hidden(path) else lower.open(path)
        if source is None:
            if not self._plain:
                self._mtimes.setdefault(path, 0)
            return
        with source:
            copy_directory_attributes(source.fds[0], self._directories.get(path))
            self._mtimes[path] = os.fstat(source.fds[0]).st_mtime_ns

    def _drop_idle_whiteouts(self, lower: Stack) -> None:
        """Overlayfs shows a whiteout, as a name that cannot be looked up, where nothing merges."""
        for path in self._hidden:
            parent, _, name = path.rpartition(b"/")
            below = None if self._is_covered(path) else lower.open(parent)
            if below is not None:
                with below:
                    if below.find(name) is not None:
                        continue
            self._directories.begin()
            directory = self._directories.get(parent)
            status = lstat(directory, name)
            if status is not None and is_whiteout(status):
                os.unlink(name, dir_fd=directory)

    def _is_hidden(self, path: bytes) -> bool:
        return path in self._hidden or self._is_covered(path)

    def _is_covered(self, path: bytes) -> bool:
        """Whether a directory above the path hides what is below."""
        while path:
            path = path.rpartition(b"/")[0]
            if path in self._hidden or path in self._opaque:
                return True
        return False

    def _set_time(self, path: bytes, mtime_ns: int) -> None:
        self._directories.begin()
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
        os.utime(name or b".", ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)


def copy_directory_attributes(source: int, target: int) -> None:
    """Owner, mode and the image's xattrs, with their records."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if name != attributes.OPAQUE and not name.startswith("user.overlay."):
            os.setxattr(target, name, os.getxattr(source, name))


def _touch(directory: int, name: bytes) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory))


def _explained(error: OSError, path: bytes) -> Exception:
    if error.errno in (ENOSPC, EDQUOT):
        return StoreFailed(
            "the disk with the layers is full", hint="rootless system prune, or set ROOTLESS_HOME"
        )
    if error.errno == EOPNOTSUPP:
        return StoreFailed(
            "the file system of the layers keeps no extended attributes, and so no owners",
            hint="export ROOTLESS_HOME=/a/directory/on/a/local/disk",
        )
    if error.errno in (ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EINVAL, EPERM):
        return ImageRefused(f"cannot unpack {text(path)}: {error.strerror}")
    return StoreFailed(f"cannot unpack {text(path)}: {error.strerror}")
