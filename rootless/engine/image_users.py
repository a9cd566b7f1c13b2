"""The users and groups of an image: its passwd and group files, read without leaving its layers."""

from __future__ import annotations

import errno
import os
from stat import S_ISREG

from rootless.errors import InvalidRequest
from rootless.kernel import mount
from rootless.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
from rootless.runtime.users import MAX_FILE_BYTES, User, find_group, find_user
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap

_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


def user_of(spec: str, rootfs: Rootfs, id_map: IdMap) -> User:
    """The user that ``spec`` means in this root file system.  Raises NotFound, InvalidRequest."""
    passwd, group = texts(rootfs, id_map)
    user = find_user(spec, passwd, group)
    if user.uid == 0 and user.home == "/" and not user.name:
        return user._replace(home="/root")
    return user


def group_ids(specs: tuple[str, ...], rootfs: Rootfs, id_map: IdMap) -> tuple[int, ...]:
    """``--group-add``: groups of the image by name or number.  Raises NotFound, InvalidRequest."""
    if "keep-groups" in specs:
        if len(specs) > 1:
            raise InvalidRequest("--group-add keep-groups excludes other groups")
        return ()  # setgroups(2) is not called at all (runtime.plan.keeps_groups)
    _, group = texts(rootfs, id_map)
    return tuple(find_group(each, group) for each in specs)


def texts(rootfs: Rootfs, id_map: IdMap) -> tuple[str, str]:
    """/etc/passwd and /etc/group of a root file system, each bounded in size."""
    directories = ((rootfs.upper,) if rootfs.upper else ()) + rootfs.lower
    try:
        found = [_top_file(directories, name) for name in ("etc/passwd", "etc/group")]
    except OSError:
        found = _read_mounted(rootfs, id_map)
    passwd, group = (each.decode(errors="replace") for each in found)
    return passwd, group


def _top_file(directories: tuple[str, ...], name: str) -> bytes:
    """The file in the topmost layer that has it.  Raises OSError where only a mount can tell."""
    for directory in directories:
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = mount.open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK, resolve=_BENEATH)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            return b""
        finally:
            os.close(root)
        try:
            if not S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "a whiteout, or nothing to read")
            return _bounded(fd)
        finally:
            os.close(fd)
    return b""


def _bounded(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read(MAX_FILE_BYTES)


def _read_mounted(rootfs: Rootfs, id_map: IdMap) -> list[bytes]:
    """Links, whiteouts or directories that only container root may enter: look at the real thing."""
    from rootless.runtime.mounted import in_rootfs

    def read(root: int) -> list[bytes]:
        found = []
        for name in ("etc/passwd", "etc/group"):
            try:
                fd = mount.open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                found.append(b"")
                continue
            found.append(_bounded(fd) if S_ISREG(os.fstat(fd).st_mode) else b"")
            os.close(fd)
        return found

    return in_rootfs(_layers_only(rootfs), id_map, read)


def _layers_only(rootfs: Rootfs) -> Rootfs:
    """Without the upper directory, which is empty and, once mounted volatile, would be spent."""
    options = tuple(each for each in rootfs.options if each != "volatile")
    only = rootfs._replace(upper=None, work=None, options=options)
    # overlayfs stacks two directories or more.
    return only._replace(driver="vfs") if len(only.lower) == 1 else only
