"""A tree as a tar with the owners that its image gives.  Runs INSIDE the user namespace."""

from __future__ import annotations

import os
import tarfile
from stat import S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG

from rootless.build.selection import Item, View, describe, walk
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.build.selection import Description, Entry

_KINDS = (
    (S_ISDIR, tarfile.DIRTYPE),
    (S_ISLNK, tarfile.SYMTYPE),
    (S_ISFIFO, tarfile.FIFOTYPE),
    (S_ISCHR, tarfile.CHRTYPE),
    (S_ISBLK, tarfile.BLKTYPE),
    (S_ISREG, tarfile.REGTYPE),
)


def write_tree(view: View, target: int, *, with_root: bool = False) -> None:
    """Write everything below the root of ``view`` to a descriptor, the root itself as "./" if asked."""
    seen: dict[tuple[int, int], str] = {}
    with (
        open(target, "wb", closefd=False) as raw,
        tarfile.open(fileobj=raw, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in walk(view, Item("", "", is_directory=True)):
            if entry.path or with_root:
                _add(archive, view, entry, seen)


def _add(
    archive: tarfile.TarFile, view: View, entry: Entry, seen: dict[tuple[int, int], str]
) -> None:
    mode = entry.status.st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        header = _header(entry, describe(view, entry))
        if header is not None:
            archive.addfile(header)
        return
    fd = entry.open()
    try:
        made = describe(view, entry, fd)
        header = _header(entry, made)
        if header is None:
            return
        if made.identity in seen:
            header.type, header.linkname = tarfile.LNKTYPE, seen[made.identity]
            archive.addfile(header)
        elif S_ISREG(mode):
            header.size = entry.status.st_size
            with open(fd, "rb", closefd=False) as content:
                archive.addfile(header, content)
        else:
            archive.addfile(header)
        if made.identity is not None:
            seen.setdefault(made.identity, entry.path)
    finally:
        os.close(fd)


def _header(entry: Entry, made: Description) -> tarfile.TarInfo | None:
    """The header of one member; None for a socket, which a tar cannot hold."""
    kind = next((kind for test, kind in _KINDS if test(made.mode)), None)
    if kind is None:
        return None
    header = tarfile.TarInfo(entry.path or ".")
    header.type = kind
    header.mode = S_IMODE(made.mode)
    header.uid, header.gid = made.owner
    header.mtime = made.mtime_ns // 10**9
    header.linkname = entry.link
    header.devmajor, header.devminor = os.major(made.device), os.minor(made.device)
    header.pax_headers = {
        f"SCHILY.xattr.{os.fsdecode(name)}": value.decode("utf-8", "surrogateescape")
        for name, value in made.attributes
    }
    return header
