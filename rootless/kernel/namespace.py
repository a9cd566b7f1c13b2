"""namespaces(7): unshare(2), setns(2) and the id-map files of a process (user_namespaces(7))."""

from __future__ import annotations

import os

from rootless.kernel.libc import c_int, function
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.userns.idmap import IdRange

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

FLAGS = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
FILES = {"mount": "mnt", "network": "net"}  # names below /proc/PID/ns that differ from the spec's

_unshare = function("unshare", c_int)
_setns = function("setns", c_int, c_int)


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` names for new ones."""
    _unshare(flags)


def join(fd: int, flags: int = 0) -> None:
    """Enter the namespace, or with a pidfd the namespaces, that ``fd`` stands for."""
    _setns(fd, flags)


_NS_GET_USERNS = 0xB701


def owner(path: str) -> int:
    """The inode number of the user namespace that owns the namespace at ``path`` (ioctl_ns(2)).

    Raises PermissionError where that is neither ours nor below it, and OSError for other files.
    """
    from fcntl import ioctl

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = ioctl(fd, _NS_GET_USERNS)
    finally:
        os.close(fd)
    try:
        return os.fstat(found).st_ino
    finally:
        os.close(found)


def map_text(ranges: tuple[IdRange, ...]) -> bytes:
    """The text of an id-map file."""
    return "".join(f"{each.inside} {each.outside} {each.size}\n" for each in ranges).encode()


def write_id_file(pid: int | str, name: str, content: bytes) -> None:
    """Write ``uid_map``, ``gid_map`` or ``setgroups`` of a process in one write(2), as the kernel demands."""
    fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
