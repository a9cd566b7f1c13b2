"""Operations: what a launch does, one small value each.  CHILD SIDE ``apply``, host side ``str``.

An operation touches the container's root only through a descriptor of it (``Root.fd``) and
openat2(2), so no symbolic link of an image leads outside.  The standard library that ``apply`` needs
is imported with this module: after pivot_root it would be gone.
"""

from __future__ import annotations

import errno
import os
from stat import S_ISCHR, S_ISDIR

from rootless.kernel import link, mount
from rootless.kernel.mount import (
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
)
from rootless.runtime.copy_up import copy_tree
from rootless.runtime.targets import NO_LINKS, PLAIN, open_mount_point, open_target
from rootless.typed import NamedTuple, Protocol

_MASK_ATTRIBUTES = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
_NULL_DEVICE = os.makedev(1, 3)
_PROC_SUPER_MAGIC = 0x9FA0


class Root:
    """The new root file system: a descriptor once it is mounted, and the terminal when there is one."""

    fd = -1
    terminal = -1
    fuse = -1  # where the process waits that will serve the root by FUSE
    # Sources that were opened as the caller, whose files root of the container may not reach.
    held: dict[str, int] = {}  # noqa: RUF012  # replaced, never changed
    supervisor = -1  # and the one that answers chown(2) where there is one id


class Operation(Protocol):
    """One step of a launch."""

    def apply(self, root: Root) -> None:
        """Do it, in the container's namespaces.  Raises OSError."""
        ...


class SetPropagation(NamedTuple):
    """Keep our mounts from reaching the host (and with slave, let the host's reach us)."""

    flags: int = MS_PRIVATE

    def apply(self, root: Root) -> None:
        mount.propagate("/", self.flags | MS_REC)

    def __str__(self) -> str:
        return (
            f"make every mount {'private' if self.flags == MS_PRIVATE else 'a slave of the host'}"
        )


class MountOverlay(NamedTuple):
    """Stack the layers with the kernel's overlayfs; the top layer comes first."""

    lower: tuple[str, ...]
    upper: str | None
    work: str | None
    options: tuple[str, ...]
    target: str

    def apply(self, root: Root) -> None:
        lower, written = (
            [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths if path is not None]
            for paths in (self.lower, (self.upper, self.work))
        )
        stack_directories(self.target, lower, written, self.options)
        for fd in (*lower, *written):
            os.close(fd)
        root.fd = os.open(self.target, os.O_PATH | os.O_CLOEXEC)

    def __str__(self) -> str:
        return f"mount overlay of {_plural(len(self.lower), 'layer')} on {self.target}"


def stack_directories(
    target: str, lower: list[int], written: list[int], options: tuple[str, ...]
) -> None:
    """Mount an overlay of open directories: the lower ones, top first, and the upper and work one.

    Each is called by its number in /proc/self/fd.  So short, all 500 that the kernel stacks fit in the
    page that mount(2) takes, and the caller's paths stay out of the container's mountinfo.
    """
    words = ["lowerdir=" + ":".join(map(str, lower))]
    words += [f"{key}={fd}" for key, fd in zip(("upperdir", "workdir"), written, strict=False)]
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir("/proc/self/fd")
    try:
        mount.mount("overlay", target, "overlay", 0, ",".join((*words, *options)))
    finally:
        try:
            os.fchdir(here)
        except OSError:  # a place that only the caller may enter, who we are no longer
            os.chdir("/")
        os.close(here)


class BindRoot(NamedTuple):
    """A directory is the root as it is."""

    source: str
    target: str

    def apply(self, root: Root) -> None:
        mount.bind(self.source, self.target)
        root.fd = os.open(self.target, os.O_PATH | os.O_CLOEXEC)

    def __str__(self) -> str:
        return f"bind {self.source} on {self.target}"


class MountFuse(NamedTuple):
    """Stack the layers with fuse-overlayfs, served by a process that the container cannot see.

    We mount, and hand the descriptor to that process: the mount lives in the container's mount
    namespace only, so the server's read(2) fails, and it ends, when the container's last process does.
    """

    layers: int
    target: str

    def apply(self, root: Root) -> None:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        mount.mount("fuse-overlayfs", self.target, "fuse.fuse-overlayfs", 0, options)
        link.send_descriptors(root.fuse, fd)
        os.close(fd)
        root.fd = os.open(self.target, os.O_PATH | os.O_CLOEXEC)

    def __str__(self) -> str:
        return f"mount fuse-overlayfs of {_plural(self.layers, 'layer')} on {self.target}"


class UseRoot(NamedTuple):
    """The root is that of the container we have joined."""

    def apply(self, root: Root) -> None:
        root.fd = os.open("/", os.O_PATH | os.O_CLOEXEC)

    def __str__(self) -> str:
        return "use the container's root"


class MountNew(NamedTuple):
    """Mount a new kernel file system inside the root."""

    kind: str
    target: str
    flags: int = 0
    options: str = ""
    resolve: int = PLAIN

    def apply(self, root: Root) -> None:
        fd = open_mount_point(root.fd, self.target, is_directory=True, resolve=self.resolve)
        mount.mount(self.kind, f"/proc/self/fd/{fd}", self.kind, self.flags, self.options)
        os.close(fd)

    def __str__(self) -> str:
        return f"mount {self.kind} on {self.target}{_words(self.flags, self.options)}"


class CopyUpTmpfs(NamedTuple):
    """A tmpfs that starts with what the image has at its mount point."""

    target: str
    flags: int = 0
    options: str = ""

    def apply(self, root: Root) -> None:
        below = open_mount_point(root.fd, self.target, is_directory=True)
        source = os.open(f"/proc/self/fd/{below}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mount.mount(
            "tmpfs", f"/proc/self/fd/{below}", "tmpfs", self.flags & ~MS_RDONLY, self.options
        )
        os.close(below)
        above = mount.open_in_root(
            root.fd, self.target, os.O_RDONLY | os.O_DIRECTORY, resolve=PLAIN
        )
        copy_tree(source, above)
        if self.flags & MS_RDONLY:
            _restrict(above, mount.MOUNT_ATTR_RDONLY)
        os.close(source)
        os.close(above)

    def __str__(self) -> str:
        return f"mount tmpfs on {self.target} with what is there{_words(self.flags, self.options)}"


class BindMount(NamedTuple):
    """Show a host path inside the container.

    ``attributes`` are MOUNT_ATTR_* flags, put on the copy before anybody can see it; with
    ``recursive_attributes`` also on the mounts below it.
    """

    source: str
    target: str
    attributes: int = 0
    recursive: bool = True
    recursive_attributes: bool = False
    propagation: int = MS_PRIVATE | MS_REC
    resolve: int = PLAIN

    @property
    def callers_files(self) -> tuple[tuple[str, int], ...]:
        """What must be opened before we are root inside, where that may not reach the caller's files."""
        return ((self.source, os.O_PATH),)

    def apply(self, root: Root) -> None:
        held = root.held.get(self.source)
        source = self.source if held is None else f"/proc/self/fd/{held}"
        is_directory = S_ISDIR(os.stat(source).st_mode)
        fd = open_mount_point(root.fd, self.target, is_directory=is_directory, resolve=self.resolve)
        tree = mount.clone_tree(source, recursive=self.recursive)
        attach(tree, fd, self.attributes, recursive=self.recursive_attributes)
        if self.propagation != MS_PRIVATE | MS_REC:
            mount.propagate(f"/proc/self/fd/{tree}", self.propagation)
        os.close(tree)

    def __str__(self) -> str:
        return f"bind {self.source} on {self.target}{attribute_words(self.attributes)}"


class MakeSymlink(NamedTuple):
    """A symbolic link inside a file system that we mounted."""

    text: str
    target: str

    def apply(self, root: Root) -> None:
        directory, _, name = self.target.rpartition("/")
        parent = mount.open_in_root(root.fd, directory or "/", os.O_PATH, resolve=NO_LINKS)
        try:
            os.symlink(self.text, name, dir_fd=parent)
        except FileExistsError:
            pass
        os.close(parent)

    def __str__(self) -> str:
        return f"link {self.target} to {self.text}"


class OpenTerminal(NamedTuple):
    """Make a pseudo-terminal in the container's own devpts and show it as /dev/console."""

    uid: int
    console: bool = True

    def apply(self, root: Root) -> None:
        flags = os.O_RDWR | os.O_NOCTTY
        root.terminal = mount.open_in_root(root.fd, "/dev/pts/ptmx", flags, resolve=NO_LINKS)
        link.unlock_terminal(root.terminal)
        peer = link.open_terminal_peer(root.terminal)
        os.fchown(peer, self.uid, -1)
        if self.console:
            fd = open_target(root.fd, "/dev/console", is_directory=False, resolve=NO_LINKS)
            mount.bind(f"/proc/self/fd/{peer}", f"/proc/self/fd/{fd}", recursive=False)
            os.close(fd)
        os.dup2(peer, 0)
        os.dup2(peer, 1)
        os.dup2(peer, 2)
        if peer > 2:
            os.close(peer)

    def __str__(self) -> str:
        return "open a terminal" + (" and bind it on /dev/console" if self.console else "")


class MaskPath(NamedTuple):
    """Hide a kernel file behind the null device, or a directory behind an empty one."""

    path: str

    def apply(self, root: Root) -> None:
        try:
            fd = mount.open_in_root(root.fd, self.path, os.O_PATH, resolve=NO_LINKS)
        except (FileNotFoundError, NotADirectoryError):
            return
        if S_ISDIR(os.fstat(fd).st_mode):
            mount.mount("tmpfs", f"/proc/self/fd/{fd}", "tmpfs", MS_RDONLY, "size=0,nr_inodes=1")
            os.close(fd)
            return
        null = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        status = os.fstat(null)
        # A /dev/null that an image brought would be a file of the attacker (CVE-2025-31133).
        if not S_ISCHR(status.st_mode) or status.st_rdev != _NULL_DEVICE:
            raise OSError(errno.ENODEV, "not the null device", "/dev/null")
        tree = mount.clone_tree("", recursive=False, directory_fd=null)
        attach(tree, fd, _MASK_ATTRIBUTES, recursive=False)
        os.close(tree)
        os.close(null)

    def __str__(self) -> str:
        return f"mask {self.path}"


class ReadOnlyPath(NamedTuple):
    """Make a kernel path read-only by binding it on itself."""

    path: str

    def apply(self, root: Root) -> None:
        try:
            fd = mount.open_in_root(root.fd, self.path, os.O_PATH, resolve=NO_LINKS)
        except (FileNotFoundError, NotADirectoryError):
            return
        tree = mount.clone_tree("", directory_fd=fd)
        attach(tree, fd, mount.MOUNT_ATTR_RDONLY, recursive=True)
        os.close(tree)

    def __str__(self) -> str:
        return f"make {self.path} read-only"


class ReadOnlyRoot(NamedTuple):
    """Make the root file system itself read-only; mounts on it keep their own mode."""

    def apply(self, root: Root) -> None:
        _restrict(root.fd, mount.MOUNT_ATTR_RDONLY)

    def __str__(self) -> str:
        return "make the root file system read-only"


class SetHostname(NamedTuple):
    """sethostname(2), in the container's UTS namespace."""

    name: str

    def apply(self, root: Root) -> None:
        link.set_hostname(self.name)

    def __str__(self) -> str:
        return f"set the hostname {self.name}"


class SetDomainname(NamedTuple):
    """setdomainname(2)."""

    name: str

    def apply(self, root: Root) -> None:
        link.set_domainname(self.name)

    def __str__(self) -> str:
        return f"set the NIS domain name {self.name}"


class RaiseLoopback(NamedTuple):
    """Bring ``lo`` up in a new network namespace."""

    def apply(self, root: Root) -> None:
        link.set_up("lo")

    def __str__(self) -> str:
        return "bring lo up"


class WriteSysctl(NamedTuple):
    """Write a namespaced kernel parameter."""

    name: str
    value: str

    def apply(self, root: Root) -> None:
        # sysctl(8)'s form: a slash in a name is a dot of the file's (net.ipv4.conf.eth0/100.forwarding).
        path = "/proc/sys/" + self.name.translate({0x2E: "/", 0x2F: "."})
        fd = mount.open_in_root(root.fd, path, os.O_WRONLY, resolve=NO_LINKS)
        # A write that lands in another file system is an attack (CVE-2025-52881).
        if mount.filesystem_type(fd) != _PROC_SUPER_MAGIC:
            raise OSError(errno.EXDEV, "not a file of procfs", path)
        os.write(fd, self.value.encode())
        os.close(fd)

    def __str__(self) -> str:
        return f"set {self.name} to {self.value}"


class MakeDirectory(NamedTuple):
    """The working directory is made where the image lacks it, as docker does."""

    target: str

    def apply(self, root: Root) -> None:
        os.close(open_target(root.fd, self.target, is_directory=True))

    def __str__(self) -> str:
        return f"make sure that {self.target} exists"


class PivotRoot(NamedTuple):
    """Make the new root "/" and let go of the old one."""

    def apply(self, root: Root) -> None:
        os.fchdir(root.fd)
        # Both "." stacks the old root on the new one, so no directory is needed (pivot_root(2)).
        mount.pivot_root(".", ".")
        mount.unmount(".", mount.MNT_DETACH)
        os.chdir("/")
        os.close(root.fd)
        root.fd = -1

    def __str__(self) -> str:
        return "pivot into the new root and detach the old one"


def attach(tree: int, target: int, attributes: int, *, recursive: bool) -> None:
    """Put a detached tree in its place, with its attributes before anybody can see it."""
    late = False
    if attributes:
        try:
            mount.set_attributes(tree, attributes, recursive=recursive)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            late = True
    mount.move_to(tree, target)
    if late:
        _remount(tree, attributes, recursive=recursive)
    os.close(target)


def _restrict(fd: int, attributes: int) -> None:
    try:
        mount.set_attributes(fd, attributes)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        _remount(fd, attributes)


def _remount(fd: int, attributes: int, *, recursive: bool = False) -> None:
    """The way before Linux 5.12, for mounts in their place; the flags have the same numbers."""
    place = os.readlink(f"/proc/self/fd/{fd}")
    for point in _mount_points(place) if recursive else (place,):
        kept = os.statvfs(point).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount.remount_bind(point, kept | attributes)


def _mount_points(place: str) -> list[str]:
    """``place`` and every mount point below it, as they are seen from here."""
    with open("/proc/self/mountinfo", "rb", buffering=0) as file:
        points = [os.fsdecode(line.split(b" ")[4]) for line in file.readall().splitlines()]
    for escaped, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        points = [point.replace(escaped, character) for point in points]
    return [point for point in points if point == place or point.startswith(f"{place}/")]


_FLAG_WORDS = ((MS_RDONLY, "ro"), (MS_NOSUID, "nosuid"), (MS_NODEV, "nodev"), (MS_NOEXEC, "noexec"))
_ATTRIBUTE_WORDS = (
    (mount.MOUNT_ATTR_RDONLY, "read-only"),
    (mount.MOUNT_ATTR_NOSUID, "nosuid"),
    (mount.MOUNT_ATTR_NODEV, "nodev"),
    (mount.MOUNT_ATTR_NOEXEC, "noexec"),
)


def _words(flags: int, options: str) -> str:
    words = [word for flag, word in _FLAG_WORDS if flags & flag]
    if options:
        words.append(options)
    return f" ({','.join(words)})" if words else ""


def attribute_words(attributes: int) -> str:
    """Attributes of a mount for people; empty where there are none."""
    words = [word for flag, word in _ATTRIBUTE_WORDS if attributes & flag]
    return f" ({','.join(words)})" if words else ""


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
