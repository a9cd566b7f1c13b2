"""CHILD SIDE: a process that waits for an answer of emulation.py: its memory, its files, its paths.

Everything goes through one directory of /proc that was opened before the kernel confirmed that the caller
still waits: should its pid be used again, that is another directory.
"""

from __future__ import annotations

import os
from errno import EFAULT

from rootless.kernel.openat2 import RESOLVE_NO_MAGICLINKS, openat2
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.kernel import notify
    from rootless.kernel.notify import Call

AT_FDCWD = 0xFFFFFF9C
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000
HERE = os.O_PATH | os.O_CLOEXEC
_INT = 0xFFFFFFFF
_MOST_PATH = 4096
_STREAMS = {b"stdin": 0, b"stdout": 1, b"stderr": 2}


class Pass(Exception):
    """The kernel is to do this call."""


class Caller:
    """A process that waits for our answer, through its directory in /proc."""

    def __init__(self, listener: notify.Listener, call: Call, proc: int):
        self.pid = call.pid
        self.arguments = call.arguments
        self.directory = os.open(str(call.pid), HERE | os.O_DIRECTORY, dir_fd=proc)
        if not listener.is_waiting(call):
            os.close(self.directory)
            raise Pass

    def open(self, name: str, flags: int = HERE) -> int:
        return os.open(name, flags, dir_fd=self.directory)

    def text(self, address: int) -> bytes:
        """The path at an address of its memory."""
        content, end, _ = self.memory(address, _MOST_PATH).partition(b"\0")
        if not end:
            raise Pass  # EFAULT or ENAMETOOLONG, as the kernel likes
        return content

    def memory(self, address: int, size: int) -> bytes:
        fd = self.open("mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, size, address)
        except (OSError, OverflowError):
            raise Pass from None
        finally:
            os.close(fd)

    def write(self, address: int, content: bytes) -> None:
        """Put the result of a call where it asked for it.  Raises OSError EFAULT."""
        fd = self.open("mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.pwrite(fd, content, address)
        except (OSError, OverflowError):
            written = 0
        finally:
            os.close(fd)
        if written != len(content):
            raise OSError(EFAULT, os.strerror(EFAULT))

    def close(self) -> None:
        os.close(self.directory)


def descriptor_of(path: bytes) -> int:
    """The descriptor that a path names by /proc or /dev, -1 for others: its magic link is the caller's."""
    for prefix in (b"/proc/self/fd/", b"/proc/thread-self/fd/", b"/dev/fd/"):
        name = path.removeprefix(prefix)
        if name != path and name.isdigit() and len(name) < 10:
            return int(name)
    return _STREAMS.get(path.removeprefix(b"/dev/"), -1) if path.startswith(b"/dev/") else -1


def resolve(caller: Caller, start: int, path: bytes, flags: int) -> int:
    """Open what a path means to the caller, below its root, without following /proc's magic links."""
    opened = []
    try:
        root = caller.open("root", HERE | os.O_DIRECTORY)
        opened.append(root)
        os.fchdir(root)
        os.chroot(".")
        if path.startswith(b"/"):
            directory = root
        else:
            directory = caller.open("cwd" if start == AT_FDCWD else f"fd/{start}")
            opened.append(directory)
        how = os.O_PATH | (os.O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0)
        if not path and not flags & AT_EMPTY_PATH:
            raise Pass  # ENOENT
        return openat2(directory, path or b".", flags=how, resolve=RESOLVE_NO_MAGICLINKS)
    except OSError:
        raise Pass from None  # the kernel fails in the same way, and knows better why
    finally:
        for fd in opened:
            os.close(fd)


def target(caller: Caller, start: int, address: int, flags: int) -> int:
    """Open what the first arguments of an ...at(2) call mean, as O_PATH."""
    start, flags = start & _INT, flags & _INT
    path = caller.text(address)
    if not path and flags & AT_EMPTY_PATH and start != AT_FDCWD:
        return descriptor(caller, start)
    fd = descriptor_of(path)
    if fd >= 0 and not flags & AT_SYMLINK_NOFOLLOW:
        return descriptor(caller, fd)
    return resolve(caller, start, path, flags)


def descriptor(caller: Caller, fd: int) -> int:
    """Open what a descriptor of the caller's is, as O_PATH."""
    try:
        return caller.open(f"fd/{fd & _INT}")
    except OSError:
        raise Pass from None


def parent(caller: Caller, start: int, address: int) -> tuple[int, bytes]:
    """The directory in which a path is to be made, as O_PATH, and its name there."""
    path = caller.text(address).rstrip(b"/")
    directory, slash, name = path.rpartition(b"/")
    if name in (b"", b".", b".."):
        raise Pass
    above = directory or slash or b"."
    return resolve(caller, start & _INT, above, 0), name
