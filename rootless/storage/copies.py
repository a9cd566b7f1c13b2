"""The two ends of ``cp``: one packs what is at a path, the other puts it where docker's rules say.

Each runs where its files are - in a container's user namespace with a descriptor of its root, or on the
host - and between them is a pipe with a few words and a tar stream.
"""

from __future__ import annotations

import os
import stat
import struct
from errno import EDQUOT, ENOENT, ENOSPC, ENOTDIR

from rootless import files
from rootless.errors import InvalidRequest, NotFound
from rootless.storage.compression import compressor, detected
from rootless.storage.content import ContentWriter
from rootless.storage.extract import Extraction
from rootless.storage.ownership import Ownership, Unowned
from rootless.storage.pack import Packer
from rootless.storage.stack import Stack
from rootless.storage.tar_reader import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    HARD_LINK,
    TarReader,
    text,
)
from rootless.storage.trees import Located, allow_depth, locate, walk
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.tar_reader import Entry
    from rootless.userns.idmap import IdMap

# What goes before the tar: whether it is a directory, whether only its content is meant, its name.
_HEADER = struct.Struct(">??H")
_OVERFLOW = 65534  # whom the kernel shows for owners outside a user namespace
_CHUNK = 1 << 20


class Target(NamedTuple):
    """Where to put things, and how.

    ``where`` names the place in messages.  ``owners`` says whose the files are: ``keep`` the stream's,
    ``root`` root's of the namespace, ``caller`` whoever runs this, without rights to choose.
    """

    path: str
    where: str
    id_map: IdMap
    owners: str
    overwrite: bool = False
    is_tar: bool = False  # the stream is somebody's archive, without the words before it
    foreign: bool = False  # it comes from a host where root is not ours


def send(
    root: int, path: str, output: int, *, where: str, follow: bool, bare: bool = False
) -> None:
    """Write the tar of ``path`` below ``root``; with ``bare`` nothing goes before it.

    Raises NotFound, InvalidRequest with ``where`` in their messages.
    """
    allow_depth()
    if path.rstrip("/").endswith("/.."):
        path = os.path.normpath(path)  # it needs a name; docker finds it in the words, too
    try:
        place = locate(root, os.fsencode(path), follow=follow)
        try:
            _check_source(place, path, where)
            only_content = path.rstrip("/").rpartition("/")[2] in ("", ".")
            name = b"" if only_content else os.fsencode(path.rstrip("/").rpartition("/")[2])
            if not bare:
                header = _HEADER.pack(place.is_directory, only_content, len(name)) + name
                files.write_all(output, header)
            Packer(output, compressor("none")).pack(walk(place, name))
        finally:
            os.close(place.parent)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _source_error(error, path, where) from None


def _check_source(place: Located, path: str, where: str) -> None:
    if place.status is None:
        raise OSError(ENOENT, os.strerror(ENOENT), path)
    if path.endswith("/") and not place.is_directory:
        raise OSError(ENOTDIR, os.strerror(ENOTDIR), path)
    if stat.S_ISSOCK(place.status.st_mode):
        raise InvalidRequest(f"{path} {where} is a socket, which cannot be copied")


def _source_error(error: OSError, path: str, where: str) -> Exception:
    if error.errno == ENOENT:
        return NotFound(f"no file or directory {path} {where}")
    detail = "" if error.filename in (None, path) else f" ({os.fsdecode(error.filename)})"
    return InvalidRequest(f"cannot read {path} {where}{detail}: {error.strerror}")


def receive(root: int, target: Target, source: int) -> list[str] | None:
    """Unpack what ``send`` wrote; notices, or None when nothing was sent at all.

    Raises NotFound, InvalidRequest for a target that cannot be; ImageRefused for a damaged archive.
    """
    os.umask(0)
    allow_depth()
    chunks = iter(lambda: os.read(source, _CHUNK), b"")
    try:
        if target.is_tar:
            place = locate(root, os.fsencode(target.path), follow=True)
            _check_directory(place, target)
            return _unpack(place.open_directory(), target, detected(source), None)
        header = _read_exactly(source, _HEADER.size)
        if header is None:
            return None
        is_directory, only_content, length = _HEADER.unpack(header)
        name = _read_exactly(source, length) or b""
        place = locate(root, os.fsencode(target.path), follow=True)
        top = _place(place, target, name, is_directory=is_directory, only_content=only_content)
        base = place.open_directory() if place.is_directory else place.parent
        return _unpack(base, target, chunks, (name, top))
    except OSError as error:
        raise _target_error(error, target) from None


def _read_exactly(fd: int, size: int) -> bytes | None:
    content = b""
    while len(content) < size:
        more = os.read(fd, size - len(content))
        if not more:
            return None
        content += more
    return content


def _place(
    place: Located, target: Target, name: bytes, *, is_directory: bool, only_content: bool
) -> bytes:
    """The name that what comes gets, in the target if that is a directory, else beside it.

    Empty: the content goes into the target itself.  These are the rules of ``docker cp``.
    """
    if place.is_directory:
        return b"" if only_content else name
    if target.path.endswith("/") and not (is_directory and place.status is None):
        _check_directory(place, target)
    if place.status is not None and is_directory:
        raise InvalidRequest(
            f"cannot copy a directory to the file {target.path} {target.where}",
        )
    return place.name


def _check_directory(place: Located, target: Target) -> None:
    if place.status is None:
        raise NotFound(f"no directory {target.path} {target.where}")
    if not place.is_directory:
        raise InvalidRequest(f"{target.path} {target.where} is not a directory")


def _target_error(error: OSError, target: Target) -> Exception:
    if error.errno == ENOENT:
        parent = target.path.rstrip("/").rpartition("/")[0] or "/"
        return NotFound(f"no directory {parent} {target.where}")
    return InvalidRequest(f"cannot write to {target.path} {target.where}: {error.strerror}")


def _unpack(
    base: int, target: Target, chunks: Iterator[bytes], renamed: tuple[bytes, bytes] | None
) -> list[str]:
    """``renamed`` is what the top of the tree is called in the stream, and what it is to be called."""
    keep = target.owners == "keep"
    ownership = (
        Unowned(target.id_map)
        if target.owners == "caller"
        else Ownership(target.id_map, always=True)
    )

    def explain(error: OSError, path: bytes) -> Exception:
        if error.errno in (ENOSPC, EDQUOT):
            return InvalidRequest(f"no space is left for {text(path)} {target.where}")
        return InvalidRequest(f"cannot write {text(path)} {target.where}: {error.strerror}")

    extraction = Extraction(
        base,
        id_map=target.id_map,
        whiteouts="none",
        ownership=ownership,
        content=ContentWriter(base, keep_free=0),
        explain=explain,
    )
    reader = TarReader(chunks)
    left_out = 0
    for found in reader:
        entry = found if renamed is None else _renamed(found, *renamed)
        if not entry.path:
            continue  # the target itself: it is there, and stays what it is
        if entry.kind in (CHARACTER, BLOCK_DEVICE):
            left_out += 1
            continue
        if not target.overwrite:
            _check_kind(base, entry, target)
        extraction.apply(_owned(entry, keep=keep, foreign=target.foreign), reader.content())
    extraction.finish(Stack(()))
    notices = [*ownership.notices()]
    if left_out:
        notices.append(f"{left_out} device nodes were left out: a user namespace cannot make them")
    return notices


def _renamed(entry: Entry, name: bytes, top: bytes) -> Entry:
    entry = entry._replace(path=_moved(entry.path, name, top))
    if entry.kind == HARD_LINK:
        entry = entry._replace(link=_moved(entry.link, name, top))
    return entry


def _moved(path: bytes, name: bytes, top: bytes) -> bytes:
    rest = path.removeprefix(name).lstrip(b"/") if name else path
    return top + b"/" + rest if top and rest else top or rest


def _owned(entry: Entry, *, keep: bool, foreign: bool) -> Entry:
    if not keep:
        return entry._replace(uid=0, gid=0)
    if foreign:
        return entry._replace(
            uid=0 if entry.uid == _OVERFLOW else entry.uid,
            gid=0 if entry.gid == _OVERFLOW else entry.gid,
        )
    return entry


def _check_kind(base: int, entry: Entry, target: Target) -> None:
    """A directory does not take the place of a file, nor a file that of a directory."""
    try:
        place = locate(base, entry.path, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return  # making the entry says more, if there is anything to say
    os.close(place.parent)
    there = place.status
    if there is None:
        return
    was, is_now = stat.S_ISDIR(there.st_mode), entry.kind == DIRECTORY
    if was != is_now:
        words = ("a directory", "something else") if was else ("something else", "a directory")
        raise InvalidRequest(
            f"{text(entry.path)} {target.where} is {words[0]}, and {words[1]} would take its place",
            hint="--overwrite allows that",
        )
