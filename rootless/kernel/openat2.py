"""openat2(2): open a path that must not leave a directory, whoever made its symbolic links."""

from __future__ import annotations

import os
import struct
from errno import EINVAL, ELOOP, ENOENT, ENOSYS, EPERM

from rootless.kernel.libc import c_char_p, c_int, c_size_t, system_call

_SYS_OPENAT2 = 437
_PATIENCE = 1000
_MAX_LINKS = 40  # path_resolution(7)

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


_openat2 = system_call(_SYS_OPENAT2, c_int, c_char_p, c_char_p, c_size_t)


def openat2(directory: int, path: bytes, *, flags: int, resolve: int, mode: int = 0) -> int:
    """Open ``path`` below ``directory`` as ``resolve`` allows (Linux 5.6); close-on-exec.

    Raises OSError: ENOSYS where the kernel or a seccomp filter around us does not have it, EXDEV
    where the path leaves what ``resolve`` allows.
    """
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)  # struct open_how
    for tries_left in range(_PATIENCE, -1, -1):
        try:
            return _openat2(directory, path or b".", how, len(how), path=os.fsdecode(path))
        except BlockingIOError:
            # EAGAIN: something was renamed or mounted, anywhere, while a ".." was resolved; the kernel
            # could not rule out that it led outside, and asks to try again.
            if not tries_left:
                raise
    raise AssertionError  # not reached


def open_in_root(root: int, path: bytes, *, flags: int, mode: int = 0) -> int:
    """Open ``path`` as if ``root`` were the root directory, close-on-exec.

    Symbolic links are followed inside it, ``..`` stops at it, and /proc's magic links are refused.
    A last component that is a link is followed unless ``flags`` has O_NOFOLLOW.
    """
    try:
        return openat2(
            root, path, flags=flags, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        )
    except OSError as error:
        # EPERM: a seccomp filter older than the call.
        if error.errno not in (ENOSYS, EPERM):
            raise
    return _walk(root, path, flags, mode)


def _walk(root: int, path: bytes, flags: int, mode: int) -> int:
    """The same in steps, for kernels before 5.6: every component is opened without following."""
    stack = [os.dup(root)]
    names = [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
    links = 0
    try:
        while names:
            name = names.pop()
            if name == b"..":
                if len(stack) > 1:
                    os.close(stack.pop())
                continue
            if not names and flags & os.O_NOFOLLOW:
                return os.open(name, flags | os.O_CLOEXEC, mode, dir_fd=stack[-1])
            target = _link_target(stack[-1], name)
            if target is not None:
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP), os.fsdecode(path))
                if target.startswith(b"/"):
                    while len(stack) > 1:
                        os.close(stack.pop())
                names += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
            elif names:
                step = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                stack.append(os.open(name, step, dir_fd=stack[-1]))
            else:
                return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=stack[-1])
        return os.open(b".", flags | os.O_CLOEXEC, mode, dir_fd=stack[-1])
    finally:
        for fd in stack:
            os.close(fd)


def _link_target(directory: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (EINVAL, ENOENT):
            return None
        raise
