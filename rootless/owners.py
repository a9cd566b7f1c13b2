"""The owner of a file as its image means it, where the file system can only say "root".

Kept as text in an xattr of the file: ``uid:gid:mode`` and, for a device, ``:char-MAJOR-MINOR`` or
``:block-MAJOR-MINOR``, the form that containers/storage and fuse-overlayfs use.
"""

from __future__ import annotations

import os

from rootless.typed import NamedTuple

OVERRIDE_STAT = "user.containers.override_stat"
# The same where a FUSE server keeps that name for itself; it is the newer one when both are there.
BESIDE = "user.rootless.stat"


class Stat(NamedTuple):
    """The owner and mode of a file as the image means them; ``device`` like ``char-1-3`` or empty."""

    uid: int
    gid: int
    mode: int
    device: str = ""

    def __str__(self) -> str:
        text = f"{self.uid}:{self.gid}:{self.mode:04o}"
        return f"{text}:{self.device}" if self.device else text


def parse_stat(value: bytes) -> Stat | None:
    """Read a record; None when it is malformed."""
    try:
        uid, gid, mode, *rest = value.decode().split(":")
        device = rest[0] if rest and _is_device(rest[0]) else ""
        stat = Stat(int(uid), int(gid), int(mode, 8) & 0o7777, device)
    except ValueError:
        return None
    return stat if stat.uid >= 0 and stat.gid >= 0 else None


def _is_device(text: str) -> bool:
    kind, *numbers = text.split("-")
    return kind in ("char", "block") and len(numbers) == 2 and all(map(str.isdecimal, numbers))


def true_stat(uid: int, gid: int, mode: int, recorded: Stat | None) -> Stat:
    """What the image means by a file that lies here with these ids and this mode.

    A record counts while the file still belongs to root: ``chown`` to an id that exists has the last
    word.  So has ``chmod``; only the special bits, which are not given to the wrong owner, come back.
    """
    if recorded is None or (uid, gid) != (0, 0):
        return Stat(uid, gid, mode)
    if recorded.mode & ~0o6000 != mode:
        return recorded._replace(mode=mode)
    return recorded


# ``file`` is a descriptor, or a path that leads to one of O_PATH by way of /proc.


def read(file: int | str) -> Stat | None:
    """What is kept of a file, None when there is nothing."""
    try:
        names = os.listxattr(file)
        for name in (BESIDE, OVERRIDE_STAT):
            if name in names:
                return parse_stat(os.getxattr(file, name))
    except OSError:
        pass  # the file system has none, or somebody took it away this moment
    return None


def keep(file: int | str, stat: Stat) -> bool:
    """Write it down; False where the file system takes neither name."""
    value = str(stat).encode()
    for name in (OVERRIDE_STAT, BESIDE):
        try:
            os.setxattr(file, name, value)
        except OSError:
            continue
        if name == OVERRIDE_STAT:
            _drop(file, BESIDE)
        return True
    return False


def forget(file: int | str) -> None:
    """The file belongs to root again, as it looks."""
    _drop(file, OVERRIDE_STAT)
    _drop(file, BESIDE)


def _drop(file: int | str, name: str) -> None:
    try:
        os.removexattr(file, name)
    except OSError:
        pass
