"""A tree as a tar with the owners that its image gives.  Runs INSIDE the user namespace."""

from __future__ import annotations

import os
import tarfile
from contextlib import contextmanager
from stat import S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG

from rootless.build.selection import Item, View, describe, walk
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    with _archive(target) as archive:
        _add_tree(archive, view, "", with_root=with_root)


def write_trees(views: Mapping[str, View], target: int) -> None:
    """The same for several trees, each in a directory of its name."""
    with _archive(target) as archive:
        for name, view in views.items():
            _add_tree(archive, view, f"{name}/", with_root=True)


@contextmanager
def _archive(target: int) -> Iterator[tarfile.TarFile]:
    with (
        open(target, "wb", closefd=False) as raw,
        tarfile.open(fileobj=raw, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        yield archive


def _add_tree(archive: tarfile.TarFile, view: View, prefix: str, *, with_root: bool) -> None:
    seen: dict[tuple[int, int], str] = {}
    for entry in walk(view, Item("", "", is_directory=True)):
        if entry.path or with_root:
            _add(archive, view, entry, seen, prefix)


def _add(
    archive: tarfile.TarFile,
    view: View,
    entry: Entry,
    seen: dict[tuple[int, int], str],
    prefix: str,
) -> None:
    mode = entry.status.st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        header = _header(entry, describe(view, entry), prefix)
        if header is not None:
            archive.addfile(header)
        return
    fd = entry.open()
    try:
        made = describe(view, entry, fd)
        header = _header(entry, made, prefix)
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
            seen.setdefault(made.identity, header.name)
    finally:
        os.close(fd)


def _header(entry: Entry, made: Description, prefix: str) -> tarfile.TarInfo | None:
    """The header of one member; None for a socket, which a tar cannot hold."""
    kind = next((kind for test, kind in _KINDS if test(made.mode)), None)
    if kind is None:
        return None
    header = tarfile.TarInfo(prefix + entry.path or ".")
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
