"""ptrace(2), as little as it takes to look at a program before its first instruction."""

from __future__ import annotations

import os

from rootless.kernel.libc import c_int, c_long, c_void_p, function

_TRACEME, _CONTINUE, _DETACH = 0, 7, 17

_ptrace = function("ptrace", c_long, c_int, c_void_p, c_void_p, result=c_long)


def trace_me() -> None:
    """Let the parent see this process stop: by SIGTRAP after execve(2), and at every signal."""
    _ptrace(_TRACEME, 0, None, None)


def resume(pid: int, signal: int = 0) -> None:
    """Let a stopped process go on, with the signal that it stopped for or none."""
    _ptrace(_CONTINUE, pid, None, signal)


def detach(pid: int) -> None:
    """Let a stopped process go on, untraced."""
    _ptrace(_DETACH, pid, None, None)


def file_and_mount(path: str) -> tuple[int, int, bytes]:
    """Which file that is, and by which mount: the host's /usr may be a volume of the container."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mount = b""
    try:
        info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        for line in os.read(info, 4096).splitlines():
            if line.startswith(b"mnt_id"):
                mount = line
        os.close(info)
        status = os.fstat(fd)
    except PermissionError:
        return 0, 0, mount  # a FUSE mount of the container's own shows its files to nobody else
    finally:
        os.close(fd)
    return status.st_dev, status.st_ino, mount
