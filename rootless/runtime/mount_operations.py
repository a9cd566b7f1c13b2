"""Operations on mounts that few containers have.  CHILD SIDE ``apply``; imported before the fork.

As in ``operations``, nothing of an image or a volume leads outside: places inside the root and below a
source are opened with openat2(2).
"""

from __future__ import annotations

import errno
import os
from stat import S_IMODE, S_ISDIR

from rootless import files
from rootless.kernel import mount
from rootless.kernel.mount import MS_PRIVATE, MS_REC
from rootless.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS
from rootless.runtime.copy_up import copy_tree
from rootless.runtime.operations import attach, attribute_words, stack_directories
from rootless.runtime.targets import PLAIN, open_mount_point
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.runtime.operations import Root

# A link below a volume may be a program's trap (CVE-2023-2728 and relatives): one that leads out is EXDEV.
_BELOW = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS

COPY = "copy"
"""What ``CopyAnew`` makes."""


def _open(root: Root, path: str, flags: int) -> int:
    """Open a file of the caller; root of the container may only reach the one that is held."""
    held = root.held.get(path)
    return os.open(path, flags | os.O_CLOEXEC) if held is None else os.dup(held)


class BindBelow(NamedTuple):
    """Show a part of a directory of the host, which other containers may be writing to."""

    source: str
    subpath: str
    target: str
    attributes: int = 0
    recursive: bool = True
    recursive_attributes: bool = False
    propagation: int = MS_PRIVATE | MS_REC

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        return ((self.source, os.O_PATH),)

    def apply(self, root: Root) -> None:
        top = _open(root, self.source, os.O_PATH)
        part = mount.open_in_root(top, self.subpath, os.O_PATH, resolve=_BELOW)
        place = open_mount_point(
            root.fd, self.target, is_directory=S_ISDIR(os.fstat(part).st_mode), resolve=PLAIN
        )
        tree = mount.clone_tree("", recursive=self.recursive, directory_fd=part)
        attach(tree, place, self.attributes, recursive=self.recursive_attributes)
        if self.propagation != MS_PRIVATE | MS_REC:
            mount.propagate(f"/proc/self/fd/{tree}", self.propagation)
        for fd in (tree, part, top):
            os.close(fd)

    def __str__(self) -> str:
        words = attribute_words(self.attributes)
        return f"bind {self.subpath} below {self.source} on {self.target}{words}"


class OverlayInside(NamedTuple):
    """Stack directories inside the root; the first one lies on top.

    Without ``upper`` nothing can be written.  ``fresh`` is a directory that anybody may write to, in which
    ``upper`` and ``work`` begin anew each time.  With ``subpath`` only that part of the stack is shown.
    """

    lower: tuple[str, ...]
    target: str
    upper: str = ""
    work: str = ""
    fresh: str = ""
    subpath: str = ""
    attributes: int = 0

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        written = (self.fresh,) if self.fresh else (self.upper, self.work) if self.upper else ()
        return tuple((path, os.O_PATH) for path in (*self.lower, *written))

    def apply(self, root: Root) -> None:
        place = open_mount_point(root.fd, self.target, is_directory=True)
        lower = [_open(root, path, os.O_PATH | os.O_DIRECTORY) for path in self.lower]
        written: list[int] = []
        if self.fresh:
            written = self._begin_anew(root, lower[0])
        elif self.upper:
            written = [
                _open(root, path, os.O_PATH | os.O_DIRECTORY) for path in (self.upper, self.work)
            ]
        stack_directories(f"/proc/self/fd/{place}", lower, written, ("userxattr",))
        for fd in (*lower, *written):
            os.close(fd)
        # What was mounted covers the place; opened again, the path leads to it.
        stacked = mount.open_in_root(root.fd, self.target, os.O_PATH, resolve=PLAIN)
        part = mount.open_in_root(stacked, self.subpath or ".", os.O_PATH, resolve=_BELOW)
        tree = mount.clone_tree("", recursive=False, directory_fd=part)
        mount.unmount(f"/proc/self/fd/{stacked}", mount.MNT_DETACH)
        attach(tree, place, self.attributes, recursive=False)
        for fd in (tree, part, stacked):
            os.close(fd)

    def _begin_anew(self, root: Root, lowest: int) -> list[int]:
        """Empty upper and work directories, opened."""
        top = _open(root, self.fresh, os.O_PATH | os.O_DIRECTORY)
        fds = []
        for name in ("upper", "work"):
            try:
                files.remove_at(top, name)
            except FileNotFoundError:
                pass
            os.mkdir(name, 0o700, dir_fd=top)
            fds.append(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top))
        os.close(top)
        # The upper directory is what is seen as the top of the mount.
        status = os.fstat(lowest)
        upper = f"/proc/self/fd/{fds[0]}"
        try:
            os.chown(upper, status.st_uid, status.st_gid)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise  # an owner that the container does not know stays root
        os.chmod(upper, S_IMODE(status.st_mode))
        return fds

    def __str__(self) -> str:
        what = self.lower[0] if len(self.lower) == 1 else f"{len(self.lower)} layers"
        part = f"{self.subpath} of " if self.subpath else ""
        how = " for writing" if self.upper else ""
        return (
            f"mount overlay of {part}{what} on {self.target}{how}{attribute_words(self.attributes)}"
        )


class CopyAnew(NamedTuple):
    """Copy a directory into ``fresh``, in which nothing is left of what was written there before."""

    source: str
    fresh: str

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        return ((self.source, os.O_RDONLY | os.O_DIRECTORY), (self.fresh, os.O_PATH))

    def apply(self, root: Root) -> None:
        source = _open(root, self.source, os.O_RDONLY | os.O_DIRECTORY)
        top = _open(root, self.fresh, os.O_PATH | os.O_DIRECTORY)
        try:
            files.remove_at(top, COPY)
        except FileNotFoundError:
            pass
        os.mkdir(COPY, 0o700, dir_fd=top)
        copy = os.open(COPY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
        copy_tree(source, copy)
        status = os.fstat(source)
        os.fchown(copy, status.st_uid, status.st_gid)
        os.fchmod(copy, S_IMODE(status.st_mode))
        for fd in (copy, top, source):
            os.close(fd)

    def __str__(self) -> str:
        return f"copy {self.source} into {self.fresh} anew"


class Secret(NamedTuple):
    """A file with a secret, and the name under which it is shown; an absolute one is a place of its own."""

    file: str
    name: str
    mode: int
    uid: int
    gid: int


class ShowSecrets(NamedTuple):
    """Show secrets as files in memory: they are in no layer and go with the container's mounts."""

    directory: str
    target: str
    secrets: tuple[Secret, ...]

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        return tuple((f"{self.directory}/{each.file}", os.O_RDONLY) for each in self.secrets)

    def apply(self, root: Root) -> None:
        apart = [each for each in self.secrets if each.name.startswith("/")]
        below = [each for each in self.secrets if not each.name.startswith("/")]
        flags = mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC
        place = open_mount_point(root.fd, self.target, is_directory=True)
        for group in filter(None, (apart, below)):
            mount.mount("tmpfs", f"/proc/self/fd/{place}", "tmpfs", flags, "mode=755")
            top = mount.open_in_root(
                root.fd, self.target, os.O_RDONLY | os.O_DIRECTORY, resolve=PLAIN
            )
            for each in group:
                self._write(root, each, top)
            if group is apart:  # the files stay where they are shown; the directory goes
                for each in group:
                    _show(root, each, top)
                mount.unmount(f"/proc/self/fd/{top}", mount.MNT_DETACH)
            else:
                mount.remount_bind(f"/proc/self/fd/{top}", flags | mount.MS_RDONLY)
            os.close(top)
        os.close(place)

    def _write(self, root: Root, secret: Secret, top: int) -> None:
        source = _open(root, f"{self.directory}/{secret.file}", os.O_RDONLY)
        name = secret.file if secret.name.startswith("/") else secret.name
        for depth in range(1, name.count("/") + 1):
            try:
                os.mkdir("/".join(name.split("/")[:depth]), 0o755, dir_fd=top)
            except FileExistsError:
                pass
        target = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=top
        )
        while os.sendfile(target, source, None, 1 << 20):
            pass
        os.fchown(target, secret.uid, secret.gid)
        os.fchmod(target, secret.mode)
        os.close(target)
        os.close(source)

    def __str__(self) -> str:
        names = ", ".join(each.name for each in self.secrets)
        return f"show secrets in memory on {self.target}: {names}"


def _show(root: Root, secret: Secret, top: int) -> None:
    part = os.open(secret.file, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    tree = mount.clone_tree("", recursive=False, directory_fd=part)
    place = open_mount_point(root.fd, secret.name, is_directory=False)
    attach(tree, place, mount.MOUNT_ATTR_RDONLY, recursive=False)
    os.close(tree)
    os.close(part)


class ChangeOwner(NamedTuple):
    """Give a tree of the host to a user of the container (``:U``)."""

    source: str
    subpath: str
    uid: int
    gid: int

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        return ((self.source, os.O_PATH),)

    def apply(self, root: Root) -> None:
        top = _open(root, self.source, os.O_PATH)
        part = (
            mount.open_in_root(top, self.subpath, os.O_PATH, resolve=_BELOW)
            if self.subpath
            else top
        )
        os.chown(f"/proc/self/fd/{part}", self.uid, self.gid)
        if S_ISDIR(os.fstat(part).st_mode):
            for _, directories, names, fd in os.fwalk(".", onerror=_raise, dir_fd=part):
                for name in (*directories, *names):
                    os.chown(name, self.uid, self.gid, dir_fd=fd, follow_symlinks=False)
        os.close(top)
        if part != top:
            os.close(part)

    def __str__(self) -> str:
        return f"give {self.source} to {self.uid}:{self.gid}"


def _raise(error: OSError) -> None:
    raise error
