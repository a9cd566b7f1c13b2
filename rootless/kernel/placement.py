"""Where ext4 puts new files: FS_IOC_SETFLAGS of ioctl_iflags(2)."""

from __future__ import annotations

import fcntl
import os

_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000


def spread_below(path: str) -> None:
    """Let ext4 put each directory made in ``path``, with what is made in it, into a block group of its own.

    ext4 does not use an inode again for some minutes after it was freed, and looks at every one of them
    for each new file of the group: unpacking where a tree was removed before is then 10 to 50 times slower.
    Other file systems do not know the flag, and do not need it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8))[:4], "little")
        if not flags & _FS_TOPDIR_FL:
            fcntl.ioctl(fd, _FS_IOC_SETFLAGS, (flags | _FS_TOPDIR_FL).to_bytes(8, "little"))
    except OSError:
        pass  # only time is lost
    finally:
        os.close(fd)
