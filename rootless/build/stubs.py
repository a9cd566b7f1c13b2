"""Mount points that a RUN needed and the image did not have: found before, removed after.

A mount point is made by the launch where it is missing.  It is no part of the step's result, unless
the program put something into it.  Committing leaves out the mount points themselves
(storage.layers); what is removed here are directories that were made on the way to one.
"""

from __future__ import annotations

import os
import posixpath
from stat import S_ISCHR, S_ISDIR, S_ISLNK

from rootless.build.placement import Placement
from rootless.kernel.mount import open_in_root
from rootless.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING, NamedTuple
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap

# What every container gets mounted.
STANDARD = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "dev", "proc", "sys")
_REAL = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


class Stubs(NamedTuple):
    """``targets`` are mount points without links in their paths; ``made`` what must be made for them,
    where that is more than the mount point itself.
    """

    targets: tuple[str, ...]
    made: tuple[str, ...] = ()


def standard(rootfs: Rootfs) -> Stubs | None:
    """The standard mount points of a root filesystem, looked up in its layers from the host.

    None when only a mounted root can tell: a link is involved, or a directory that the caller may
    not enter.
    """
    made: dict[str, None] = {}
    for target in STANDARD:
        parents = [_in_layers(rootfs.lower, path) for path in _parents(target)]
        present = _in_layers(rootfs.lower, target)
        if present is None or None in parents:
            return None
        if not all(parents):
            made.update(dict.fromkeys((*_parents(target), target)))
    return Stubs(STANDARD, tuple(made))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _in_layers(directories: tuple[str, ...], path: str) -> bool | None:
    for directory in directories:
        try:
            status = os.lstat(f"{directory}/{path}")
        except FileNotFoundError:
            continue
        except OSError:
            return None
        if S_ISLNK(status.st_mode):
            return None
        return not (S_ISCHR(status.st_mode) and status.st_rdev == 0)
    return False


def look_up(root: int, targets: Iterable[str], id_map: IdMap) -> Stubs:
    """The same for any targets, asked of a mounted root (INSIDE the user namespace)."""
    placement = Placement(root, owners=Owners(id_map))
    made: dict[str, None] = {}
    found = []
    for target in targets:
        path = placement.resolve(target)
        found.append(path)
        absent = [each for each in (*_parents(path), path) if placement.status(each) is None]
        if len(absent) > 1:
            made.update(dict.fromkeys(absent))
    return Stubs(tuple(found), tuple(made))


def remove(rootfs: Rootfs, paths: tuple[str, ...], id_map: IdMap) -> None:
    """Remove those that are still empty, deepest first."""
    if paths and not _remove_all(rootfs, paths):
        enter.call(lambda: _remove_all(rootfs, paths), id_map)


def _remove_all(rootfs: Rootfs, paths: tuple[str, ...]) -> bool:
    """False when the caller lacks the right."""
    top = rootfs.upper or rootfs.lower[0]
    root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in sorted(paths, key=lambda each: -each.count("/")):
            _remove(root, path)
    except PermissionError:
        return False
    finally:
        os.close(root)
    return True


def _remove(root: int, path: str) -> None:
    directory, name = posixpath.split(path)
    try:
        parent = open_in_root(root, directory or ".", os.O_PATH | os.O_DIRECTORY, resolve=_REAL)
    except (FileNotFoundError, NotADirectoryError, OSError):
        return
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif status.st_size == 0 and not S_ISLNK(status.st_mode):
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except PermissionError:
        raise
    except OSError:
        pass  # a directory that is not empty: the program has put something there
    finally:
        os.close(parent)
