"""A layer's tar stream to a tree and back.  Runs inside the user namespace."""

from __future__ import annotations

import os

from rootless.errors import ImageRefused
from rootless.storage.compression import decompressed, detected
from rootless.storage.extract import Extraction
from rootless.storage.stack import Stack
from rootless.storage.streams import ReadAhead
from rootless.storage.tar_reader import Limits, TarReader
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.userns.idmap import IdMap


class UnpackRequest(NamedTuple):
    """What to unpack and how it is to lie on disk."""

    source_fd: int
    compression: str
    diff_id: str
    whiteouts: str
    id_map: IdMap
    limits: Limits = Limits()


class Tree(NamedTuple):
    """What was unpacked: bytes of content, records without a place beside their file, notices."""

    size_bytes: int
    kept: dict[str, str]
    notices: tuple[str, ...]


def unpack(request: UnpackRequest, directory: str, lower: Callable[[], Stack]) -> Tree:
    """Unpack a layer into the empty ``directory`` and verify its diff ID.

    ``lower`` is asked for the layers below when everything is in its place; it may wait for them.
    Raises ImageRefused for content that is not what it claims, or that would leave the directory.
    """
    os.umask(0)
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    algorithm = request.diff_id.partition(":")[0]
    stream = ReadAhead(decompressed(request.source_fd, request.compression), algorithm)
    try:
        extraction = Extraction(root, id_map=request.id_map, whiteouts=request.whiteouts)
        reader = TarReader(stream, request.limits)
        for entry in reader:
            extraction.apply(entry, reader.content())
        digest = stream.digest()
        if digest != request.diff_id:
            raise ImageRefused(f"the layer's content is {digest}, not {request.diff_id}")
        extraction.finish(lower())
    finally:
        stream.close()
        os.close(root)
    return Tree(
        extraction.content.size_bytes, extraction.ownership.kept, extraction.ownership.notices()
    )


def unpack_archive(fd: int, directory: str, id_map: IdMap) -> tuple[str, ...]:
    """Unpack an ordinary tar archive, compressed or not, into a directory that may have content.

    Names mean themselves, also those of whiteouts.  Returns notices.
    """
    os.umask(0)
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stream = ReadAhead(detected(fd))
    try:
        extraction = Extraction(root, id_map=id_map, whiteouts="none")
        reader = TarReader(stream)
        for entry in reader:
            extraction.apply(entry, reader.content())
        extraction.finish(Stack(()))
    finally:
        stream.close()
        os.close(root)
    return extraction.ownership.notices()
