"""Put files into a root filesystem: directories, files, links, owners.  Runs INSIDE the user namespace.

Paths are relative to the root and, once ``resolve`` has been asked, free of links.  Nothing else
runs in that root meanwhile, so a path that was resolved stays resolved.
"""

from __future__ import annotations

import errno
import os
import posixpath
from stat import S_IFMT, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG

from rootless.build.selection import ROOT, Owner
from rootless.errors import BuildFailed
from rootless.owners import Stat
from rootless.runtime.users import MAX_FILE_BYTES, find_user
from rootless.storage.attributes import keep_stat, set_xattrs
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.build.permissions import ModeChange
    from rootless.build.selection import Description
    from rootless.storage.attributes import Owners

_MAX_LINKS = 40  # as the kernel's own limit
_CHUNK = 1 << 20
_NOT_IN_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class Placement:
    """One root filesystem that files are put into.

    ``owner`` and ``mode`` override what a file has; ``mtime`` (seconds) is given to all that is placed.
    Without ``keep_owners`` everything belongs to the calling process.
    """

    def __init__(
        self,
        root: int,
        *,
        owners: Owners,
        owner: Owner | None = None,
        mode: ModeChange | None = None,
        mtime: int | None = None,
        keep_owners: bool = True,
    ):
        self.root = root
        self.notices: list[str] = []
        self._owners = owners
        self._owner = owner
        self._mode = mode
        self._mtime = mtime
        self._keep_owners = keep_owners
        self._finished: list[tuple[str, int, int]] = []  # directories, whose times come last
        self._links: dict[tuple[int, int], str] = {}

    # -- paths ---------------------------------------------------------------------------------

    def resolve(self, path: str) -> str:
        """``path`` with every link followed inside the root; what is missing may be missing."""
        done: list[str] = []
        waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done[:-1]
                continue
            here = "/".join((*done, part))
            status = self.status(here)
            if status is None or not S_ISLNK(status.st_mode):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise BuildFailed(f"/{path.lstrip('/')}: too many levels of symbolic links")
            text = os.readlink(here, dir_fd=self.root)
            if text.startswith("/"):
                done = []
            waiting += [each for each in reversed(text.split("/")) if each not in ("", ".")]
        return "/".join(done)

    def status(self, path: str) -> os.stat_result | None:
        """lstat(2) inside the root; None when nothing is there."""
        try:
            return os.stat(path or ".", dir_fd=self.root, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_directory(self, path: str) -> bool:
        status = self.status(path)
        return status is not None and S_ISDIR(status.st_mode)

    def make_directories(self, path: str) -> None:
        """Make a directory and its missing parents, as the instruction's owner and mode say."""
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            status = self.status(here)
            if status is None:
                mode = self._mode.of(0o755, is_directory=True) if self._mode else 0o755
                os.mkdir(here, 0o700, dir_fd=self.root)
                self.own(here, self._owner or ROOT, mode)
                if self._mtime is not None:
                    self._finished.append((here, self._mtime * 10**9, self._mtime * 10**9))
            elif not S_ISDIR(status.st_mode):
                raise BuildFailed(f"/{here} is not a directory")

    def forget_links(self) -> None:
        """Hard links are kept within one source, as docker does: two may put files in one place."""
        self._links.clear()

    def clear(self, path: str) -> None:
        """Make way for something that is not a directory."""
        status = self.status(path)
        if status is None:
            return
        if S_ISDIR(status.st_mode):
            raise BuildFailed(f"/{path} is a directory and cannot become a file")
        os.unlink(path, dir_fd=self.root)

    # -- things --------------------------------------------------------------------------------

    def directory(self, path: str, made: Description, *, keep: bool) -> bool:
        """A directory like that; an existing one stays as it is with ``keep``.  Whether it was touched."""
        present = self.status(path)
        if present is not None and not S_ISDIR(present.st_mode):
            raise BuildFailed(
                f"/{path} is not a directory",
                hint="a directory of the source would have to replace it; name the place that it leads to"
                if S_ISLNK(present.st_mode)
                else None,
            )
        if present is None:
            os.mkdir(path, 0o700, dir_fd=self.root)
        elif keep:
            return False
        self.own(path, self._owner or made.owner, self._permissions(made))
        self._finished.append((path, *self._times(made)))
        self.set_attributes(path, made.attributes)
        return True

    def file(self, path: str, source: int, made: Description) -> None:
        """A regular file with the content of descriptor ``source``; hard links among them stay."""
        self.clear(path)
        first = self._links.get(made.identity) if made.identity else None
        if first is not None:
            os.link(first, path, src_dir_fd=self.root, dst_dir_fd=self.root, follow_symlinks=False)
            return
        target = self._create(path)
        try:
            copy_content(source, target)
            self._own(target, self._owner or made.owner, self._permissions(made))
            os.utime(target, ns=self._times(made))
        finally:
            os.close(target)
        self.set_attributes(path, made.attributes)
        if made.identity:
            self._links[made.identity] = path

    def content(self, path: str, chunks: Iterable[bytes], mode: int, mtime_ns: int | None) -> None:
        """A regular file of root with that content."""
        self.clear(path)
        with open(self._create(path), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            mode = self._mode.of(mode, is_directory=False) if self._mode else mode
            self._own(file.fileno(), self._owner or ROOT, mode)
            when = self._mtime * 10**9 if self._mtime is not None else mtime_ns
            if when is not None:
                os.utime(file.fileno(), ns=(when, when))

    def archived(
        self, path: str, stretches: Iterable[tuple[int, memoryview]], size: int, made: Description
    ) -> None:
        """A regular file of ``size`` bytes, whose content comes as (offset, bytes)."""
        self.clear(path)
        target = self._create(path)
        try:
            for offset, piece in stretches:
                done = 0
                while done < len(piece):
                    done += os.pwrite(target, piece[done:], offset + done)
            os.ftruncate(target, size)
            self._own(target, self._owner or made.owner, self._permissions(made))
            os.utime(target, ns=self._times(made))
        finally:
            os.close(target)
        self.set_attributes(path, made.attributes)

    def hard_link(self, source: str, path: str) -> None:
        """Another name for a file that is in the root already."""
        if source != path:
            self.clear(path)
            os.link(source, path, src_dir_fd=self.root, dst_dir_fd=self.root, follow_symlinks=False)

    def link(self, path: str, text: str, made: Description) -> None:
        """A symbolic link."""
        self.clear(path)
        os.symlink(text, path, dir_fd=self.root)
        owner = self._owner or made.owner
        if self._keep_owners and self._owners.fit(*owner):
            os.chown(path, *owner, dir_fd=self.root, follow_symlinks=False)
        os.utime(path, ns=self._times(made), dir_fd=self.root, follow_symlinks=False)

    def special(self, path: str, made: Description) -> None:
        """A FIFO or a device; sockets mean nothing without their process."""
        kind = made.mode
        if not (S_ISFIFO(kind) or S_ISCHR(kind) or S_ISBLK(kind)):
            return
        self.clear(path)
        try:
            os.mknod(path, S_IFMT(kind) | 0o600, made.device, dir_fd=self.root)
        except PermissionError:
            self.notices.append(f"/{path}: devices cannot be made in a user namespace; left out")
            return
        self.own(path, self._owner or made.owner, self._permissions(made))
        os.utime(path, ns=self._times(made), dir_fd=self.root, follow_symlinks=False)

    def set_attributes(self, path: str, attributes: tuple[tuple[bytes, bytes], ...]) -> None:
        """Extended attributes; what this file system or namespace refuses is kept beside the file."""
        for name in set_xattrs(f"/proc/self/fd/{self.root}/{path}", attributes):
            self.notices.append(f"/{path}: cannot keep the attribute {name}")

    def own(self, path: str, owner: Owner, mode: int) -> None:
        """Owner and permissions of what is no link."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path or ".", flags, dir_fd=self.root)
        try:
            self._own(fd, owner, mode)
        finally:
            os.close(fd)

    def _own(self, fd: int, owner: Owner, mode: int) -> None:
        if not self._keep_owners:
            mode |= 0o600
        elif self._owners.fit(*owner):
            os.fchown(fd, *owner)
        else:
            mode = self._beside(fd, owner, mode)
        os.fchmod(fd, mode)  # last, since chown clears the set-id bits

    def _beside(self, fd: int, owner: Owner, mode: int) -> int:
        """Write down an owner that this id map does not have; the mode that the file may get."""
        if not keep_stat(fd, Stat(*owner, mode)):
            self.notices.append(f"owner {owner.uid}:{owner.gid} is outside the id map and was lost")
        return mode & ~0o6000

    def finish(self) -> None:
        """Give directories their times, now that nothing is put into them any more."""
        for path, accessed_ns, modified_ns in reversed(self._finished):
            os.utime(path or ".", ns=(accessed_ns, modified_ns), dir_fd=self.root)
        self._finished.clear()

    def _create(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600, dir_fd=self.root)

    def _permissions(self, made: Description) -> int:
        if self._mode is None:
            return S_IMODE(made.mode)
        return self._mode.of(made.mode, is_directory=S_ISDIR(made.mode))

    def _times(self, made: Description) -> tuple[int, int]:
        when = made.mtime_ns if self._mtime is None else self._mtime * 10**9
        return when, when

    # -- names ---------------------------------------------------------------------------------

    def find_owner(self, spec: str) -> Owner:
        """The ids that ``USER[:GROUP]`` means in this root; a user without a group brings its own."""
        user, colon, _ = spec.partition(":")
        found = find_user(spec, self._text("etc/passwd"), self._text("etc/group"))
        if not colon and user.isascii() and user.isdigit():
            return Owner(found.uid, found.uid)  # docker: the same number
        return Owner(found.uid, found.gid)

    def _text(self, path: str) -> str:
        """A file of the image: inside the root, bounded, whoever wrote it (CVE-2024-9676)."""
        real = self.resolve(path)
        status = self.status(real)
        if status is None or not S_ISREG(status.st_mode):
            return ""
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.root)
        with open(fd, "rb", buffering=0) as file:
            return (file.read(MAX_FILE_BYTES) or b"").decode(errors="replace")


def copy_content(source: int, target: int) -> None:
    """Copy bytes, in the kernel where it can, sharing extents where it can; holes stay holes."""
    status = os.fstat(source)
    if status.st_blocks * 512 < status.st_size and _copy_sparse(source, target, status.st_size):
        return
    try:
        while os.copy_file_range(source, target, _CHUNK * 128):
            pass
        return
    except OSError as error:
        if error.errno not in _NOT_IN_KERNEL:
            raise
    while chunk := os.read(source, _CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]


def _copy_sparse(source: int, target: int, size: int) -> bool:
    """Copy what lies between holes; False where the file system cannot tell where they are."""
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                break
            os.lseek(source, 0, os.SEEK_SET)
            if position == 0 and error.errno in _NOT_IN_KERNEL:
                return False
            raise
        position = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        _copy_range(source, target, position - start)
    os.ftruncate(target, size)
    return True


def _copy_range(source: int, target: int, size: int) -> None:
    while size > 0 and (chunk := os.read(source, min(_CHUNK, size))):
        size -= len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]


def joined(directory: str, name: str) -> str:
    """A name in a directory of the root; "" is the root itself."""
    return posixpath.join(directory, name) if directory and name else directory or name
