"""landlock(7): confine this process and its descendants to a part of the file hierarchy."""

from __future__ import annotations

import os
import struct
from fcntl import F_GETFL, fcntl

from rootless.kernel.libc import c_char_p, c_int, c_size_t, c_uint, system_call

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
REFER = 1 << 13  # ABI 2: without it every rename to another directory fails
TRUNCATE = 1 << 14  # ABI 3
IOCTL_DEV = 1 << 15  # ABI 5
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_ALL_OF_ABI_1 = (1 << 13) - 1

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


_create_ruleset = system_call(444, c_char_p, c_size_t, c_uint)
_add_rule = system_call(445, c_int, c_int, c_char_p, c_uint)
_restrict_self = system_call(446, c_int, c_uint)


def abi() -> int:
    """The version of Landlock that this kernel speaks; 0 where it is missing or disabled."""
    try:
        return _create_ruleset(None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def rights_of(version: int) -> int:
    """Every file-system right of that ABI; 0 below ABI 2, which would forbid ordinary renames."""
    if version < 2:
        return 0
    rights = _ALL_OF_ABI_1 | REFER
    if version >= 3:
        rights |= TRUNCATE
    if version >= 5:
        rights |= IOCTL_DEV
    return rights


def restrict_to(path: str, rights: int) -> None:
    """Allow ``rights`` below ``path`` and nowhere else, and reopening descriptors 0 to 2 as they are.

    Needs no_new_privs or CAP_SYS_ADMIN.  Mounts below ``path`` are included; from now on this
    process and its descendants cannot mount.
    """
    attributes = struct.pack("=Q", rights)  # struct landlock_ruleset_attr of ABI 1
    ruleset = _create_ruleset(attributes, len(attributes), 0)
    root = os.open(path, os.O_PATH | os.O_CLOEXEC)
    _add_rule(ruleset, _RULE_PATH_BENEATH, _beneath(root, rights), 0)
    os.close(root)
    for fd in (0, 1, 2):
        _allow_reopening(ruleset, fd, rights)
    _restrict_self(ruleset, 0)
    os.close(ruleset)


def _allow_reopening(ruleset: int, fd: int, rights: int) -> None:
    """/dev/stdout may be a file or a terminal outside, and programs do open it by name."""
    try:
        mode = fcntl(fd, F_GETFL) & os.O_ACCMODE
        allowed = IOCTL_DEV
        if mode in (os.O_RDONLY, os.O_RDWR):
            allowed |= READ_FILE
        if mode in (os.O_WRONLY, os.O_RDWR):
            allowed |= WRITE_FILE | TRUNCATE
        rule = _beneath(fd, allowed & rights & _FILE_RIGHTS)
        _add_rule(ruleset, _RULE_PATH_BENEATH, rule, 0)
    except OSError:
        pass  # closed, or a pipe or socket, which Landlock does not restrict


def _beneath(fd: int, rights: int) -> bytes:
    """struct landlock_path_beneath_attr, which is packed."""
    return struct.pack("=Qi", rights, fd)
