"""Owners and extended attributes: what a file system in a user namespace can hold, and the rest.

What cannot be set is kept beside the file, as text that packing reads back:

- an owner outside the id map, or a device node, in the xattr ``user.containers.override_stat``
  (``uid:gid:mode`` and, for a device, ``:char-MAJOR-MINOR`` or ``:block-...``), the name and form
  that containers/storage and fuse-overlayfs use;
- an xattr that the kernel refuses (``trusted.*``, foreign ``security.capability``) under its name
  with ``user.rootless.xattr.`` before it.
"""

from __future__ import annotations

import os

from rootless import owners
from rootless.owners import BESIDE, OVERRIDE_STAT, Stat, parse_stat
from rootless.typed import TYPE_CHECKING
from rootless.userns.idmap import is_mapped

if TYPE_CHECKING:
    from rootless.userns.idmap import IdMap

OPAQUE = "user.overlay.opaque"
OPAQUE_MARKS = (OPAQUE, "user.fuseoverlayfs.opaque", "trusted.overlay.opaque")
_KEPT = "user.rootless.xattr."

# What an overlay or we ourselves believe about a file must not come out of an image, and not get
# into one.  SELinux labels belong to a host.
_NEVER = (
    "user.overlay.",
    "trusted.overlay.",
    "user.fuseoverlayfs.",
    "user.rootless.",
    OVERRIDE_STAT,
    "security.selinux",
)


class Owners:
    """Which owners an id map can hold."""

    def __init__(self, id_map: IdMap):
        self._uids, self._gids = id_map.uids, id_map.gids
        self._known: dict[tuple[int, int], bool] = {}

    def fit(self, uid: int, gid: int) -> bool:
        """Whether a file can belong to this pair of ids inside."""
        known = self._known.get((uid, gid))
        if known is None:
            known = is_mapped(self._uids, uid) and is_mapped(self._gids, gid)
            self._known[uid, gid] = known
        return known


def set_xattrs(file: int | str, xattrs: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    """Set what an image gives a file, or keep it beside; returns the names that were lost.

    ``file`` is a descriptor, or the path of something that cannot be opened for that.
    """
    lost = []
    for raw, value in xattrs:
        name = os.fsdecode(raw)
        if name.startswith(_NEVER):
            continue
        if not _set(file, name, value) and not _set(file, _KEPT + name, value):
            lost.append(name)
    return lost


def _set(file: int | str, name: str, value: bytes) -> bool:
    try:
        # security.capability becomes one of this namespace's root here (Linux 4.14).
        if isinstance(file, int):
            os.setxattr(file, name, value)
        else:
            os.setxattr(file, name, value, follow_symlinks=False)
    except OSError:
        return False
    return True


def keep_stat(fd: int, stat: Stat) -> bool:
    """Write down an owner that does not fit; False where the file system has no user xattrs."""
    return owners.keep(fd, stat)


def read_xattrs(fd: int) -> tuple[Stat | None, dict[str, bytes], bool]:
    """Of an open file: what override_stat says, the xattrs of the image, whether it is opaque."""
    stat, beside, xattrs, opaque = None, None, {}, False
    try:
        names = os.listxattr(fd)
    except OSError:
        return None, {}, False  # the file system has none
    for name in names:
        if name == OVERRIDE_STAT:
            stat = parse_stat(os.getxattr(fd, name))
        elif name == BESIDE:
            beside = parse_stat(os.getxattr(fd, name))
        elif name in OPAQUE_MARKS:
            opaque = opaque or os.getxattr(fd, name) == b"y"
        elif name.startswith(_KEPT):
            xattrs[name.removeprefix(_KEPT)] = os.getxattr(fd, name)
        elif not name.startswith(_NEVER):
            xattrs[name] = os.getxattr(fd, name)
    return beside or stat, xattrs, opaque
