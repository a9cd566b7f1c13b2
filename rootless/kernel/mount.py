"""mount(2) and its relatives.  One wrapper per call; policy belongs to the caller."""

from __future__ import annotations

import os
import struct

from rootless.kernel.libc import (
    buffer,
    c_char_p,
    c_int,
    c_size_t,
    c_uint,
    c_ulong,
    c_void_p,
    function,
    system_call,
)
from rootless.kernel.openat2 import (
    RESOLVE_IN_ROOT,
    openat2,
)

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_DIRSYNC = 128
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24

MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8


# The same numbers on every architecture that Linux gained since 2018, and on x86_64 and aarch64.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155}.get(os.uname().machine, 41)

_STATFS_BYTES = 128  # and less on 32 bits

_mount = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_umount2 = function("umount2", c_char_p, c_int)
_pivot_root = system_call(_SYS_PIVOT_ROOT, c_char_p, c_char_p)
_open_tree = system_call(_SYS_OPEN_TREE, c_int, c_char_p, c_uint)
_move_mount = system_call(_SYS_MOVE_MOUNT, c_int, c_char_p, c_int, c_char_p, c_uint)
_mount_setattr = system_call(_SYS_MOUNT_SETATTR, c_int, c_char_p, c_uint, c_char_p, c_size_t)
_fstatfs = function("fstatfs", c_int, c_void_p)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Attach a new file system of type ``kind`` at ``target``."""
    _mount(
        source.encode(),
        target.encode(),
        kind.encode(),
        flags,
        options.encode() or None,
        path=target,
    )


def bind(source: str, target: str, *, recursive: bool = True) -> None:
    """Make the tree at ``source``, by default with its submounts, also visible at ``target``."""
    flags = MS_BIND | (MS_REC if recursive else 0)
    _mount(source.encode(), target.encode(), None, flags, None, path=target)


def remount_bind(target: str, flags: int) -> None:
    """Change the per-mount flags of one mount."""
    _mount(None, target.encode(), None, MS_BIND | MS_REMOUNT | flags, None, path=target)


def propagate(target: str, flags: int) -> None:
    """Set the propagation type: MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with MS_REC or not."""
    _mount(None, target.encode(), None, flags, None, path=target)


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _umount2(target.encode(), flags, path=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); with both "." the old root ends up stacked on the new one."""
    _pivot_root(new_root.encode(), put_old.encode(), path=new_root)


def clone_tree(path: str, *, recursive: bool = True, directory_fd: int = AT_FDCWD) -> int:
    """A detached copy of the mount tree at ``path`` (open_tree(2)), as a descriptor."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= AT_EMPTY_PATH
    return _open_tree(directory_fd, path.encode(), flags, path=path)


def move_to(tree: int, target: int) -> None:
    """Attach the detached tree at the place that descriptor ``target`` is (move_mount(2))."""
    _move_mount(tree, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def set_attributes(fd: int, attributes: int, *, clear: int = 0, recursive: bool = False) -> None:
    """mount_setattr(2) on the mount that ``fd`` is the root of, or with all below it (Linux 5.12)."""
    request = struct.pack("=QQQQ", attributes, clear, 0, 0)  # struct mount_attr
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(fd, b"", flags, request, len(request))


def open_in_root(
    root: int, path: str, flags: int, mode: int = 0, *, resolve: int = RESOLVE_IN_ROOT
) -> int:
    """openat2(2): open ``path`` as if ``root`` were "/" - no link leads out of it."""
    name = path.encode(errors="surrogateescape")
    return openat2(root, name, flags=flags, mode=mode, resolve=resolve)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system that an open file belongs to (statfs(2))."""
    answer = buffer(_STATFS_BYTES)
    _fstatfs(fd, answer)
    return int(struct.unpack_from("@L", answer)[0])
