"""Archives that ADD unpacks, told by their content.  Runs INSIDE the user namespace."""

from __future__ import annotations

import os
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK

from rootless.build.placement import joined
from rootless.build.selection import Description, Owner
from rootless.errors import BuildFailed, ImageRefused
from rootless.storage import tar_reader
from rootless.storage.compression import detected
from rootless.storage.tar_reader import TarReader
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.placement import Placement

_TYPES = {
    tar_reader.DIRECTORY: S_IFDIR,
    tar_reader.SYMLINK: S_IFLNK,
    tar_reader.FIFO: S_IFIFO,
    tar_reader.CHARACTER: S_IFCHR,
    tar_reader.BLOCK_DEVICE: S_IFBLK,
}


def unpack_archive(fd: int, placement: Placement, target: str) -> bool:
    """Unpack what ``fd`` holds into the directory ``target``; False when it is no archive."""
    if not _is_archive(fd):
        return False
    os.lseek(fd, 0, os.SEEK_SET)
    directory = placement.resolve(target)
    placement.make_directories(directory)
    reader = TarReader(_content(fd))
    try:
        for entry in reader:
            _place(placement, directory, entry, reader)
    except ImageRefused as error:
        raise BuildFailed(error.message.replace("the layer", "the archive")) from None
    return True


def _is_archive(fd: int) -> bool:
    try:
        for _ in TarReader(_content(fd)):
            return True
    except (ImageRefused, OSError, EOFError, ValueError):
        pass
    return False


def _content(fd: int) -> Iterator[bytes]:
    os.lseek(fd, 0, os.SEEK_SET)
    return detected(fd)


def _place(
    placement: Placement, directory: str, entry: tar_reader.Entry, reader: TarReader
) -> None:
    # Links among the parents were made by the image or by this archive: they stay inside the root.
    parent, _, name = os.fsdecode(entry.path).rpartition("/")
    parent = placement.resolve(joined(directory, parent))
    placement.make_directories(parent)
    path = joined(parent, name)
    made = Description(
        mode=_TYPES.get(entry.kind, 0o100000) | entry.mode & 0o7777,
        owner=Owner(entry.uid, entry.gid),
        mtime_ns=entry.mtime_ns,
        attributes=entry.xattrs,
        device=os.makedev(*entry.device),
    )
    match entry.kind:
        case tar_reader.DIRECTORY:
            # "./" is the target itself, which docker gives the archive's owner and mode too.
            placement.directory(_followed(placement, path), made, keep=False)
        case tar_reader.SYMLINK:
            placement.link(path, os.fsdecode(entry.link), made)
        case tar_reader.HARD_LINK:
            _hard_link(placement, directory, path, os.fsdecode(entry.link))
        case tar_reader.FILE:
            placement.archived(path, _stretches(entry, reader), entry.size, made)
        case _:
            placement.special(path, made)


def _followed(placement: Placement, path: str) -> str:
    """A directory of the archive may stand for one that the image reaches by a link (/lib, /bin)."""
    real = placement.resolve(path)
    return real if placement.is_directory(real) else path


def _hard_link(placement: Placement, directory: str, path: str, link: str) -> None:
    source = placement.resolve(joined(directory, link.lstrip("/")))
    if placement.status(source) is None:
        raise BuildFailed(f"the archive links {path} to {link}, which is not there")
    placement.hard_link(source, path)


def _stretches(entry: tar_reader.Entry, reader: TarReader) -> Iterator[tuple[int, memoryview]]:
    """(offset, bytes) of a file, holes left out."""
    if entry.segments is None:
        offset = 0
        for piece in reader.content():
            yield offset, piece
            offset += len(piece)
        return
    pieces = reader.content()
    rest = memoryview(b"")
    for segment in entry.segments:
        offset, end = segment.offset, segment.offset + segment.size
        while offset < end:
            rest = rest or next(pieces)
            piece = rest[: end - offset]
            yield offset, piece
            offset += len(piece)
            rest = rest[len(piece) :]
