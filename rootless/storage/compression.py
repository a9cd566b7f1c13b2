"""Compressed layers: gzip by ISA-L where it is installed, zstd by whatever this Python has for it.

All of the heavy calls release the GIL, so a thread that decompresses runs beside the one that parses.
"""

from __future__ import annotations

import os
import sys
import zlib
from functools import partial

from rootless.errors import HostLacks, ImageRefused, Unsupported
from rootless.image.magic import LENGTH, compression_in
from rootless.typed import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

_READ_SIZE = 1 << 17
_CHUNK_SIZE = 1 << 20  # a bomb grows by no more than this at a time
_GZIP = 16 + zlib.MAX_WBITS
_WINDOW = 1 << 27  # what the zstd tools accept without --long

MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}


def decompressed(fd: int, compression: str) -> Iterator[bytes]:
    """The uncompressed content of a file or pipe, at most a mebibyte at a time.

    Raises ImageRefused when it is damaged, cut short or followed by something else.
    """
    return _decompressed(_Source(fd), compression)


def detected(fd: int) -> Iterator[bytes]:
    """The same for an archive that says by its first bytes how it is compressed, if it is."""
    source = _Source(fd)
    return _decompressed(source, compression_in(source.peek(LENGTH)))


class _Source:
    """Reads of a descriptor, the first of which can be looked at before."""

    def __init__(self, fd: int):
        self._fd = fd
        self._begin = b""

    def peek(self, size: int) -> bytes:
        """The first bytes, fewer only when there are no more."""
        while len(self._begin) < size and (more := os.read(self._fd, _READ_SIZE)):
            self._begin += more
        return self._begin[:size]

    def read(self, size: int = _READ_SIZE) -> bytes:
        """What there is, at most ``size`` bytes; nothing at the end."""
        if self._begin:
            data, self._begin = self._begin[:size], self._begin[size:]
            return data
        return os.read(self._fd, size)


def _decompressed(source: _Source, compression: str) -> Iterator[bytes]:
    if compression == "none":
        return iter(lambda: source.read(_CHUNK_SIZE), b"")
    if compression == "gzip":
        return _gunzip(source)
    if compression == "zstd":
        module = zstd()
        if module.__name__ == "zstandard":
            return _zstandard(source, module)
        return _stream(source, "zstd", module.ZstdDecompressor, module.ZstdError)
    if compression == "xz":
        import lzma

        limited = partial(lzma.LZMADecompressor, memlimit=_WINDOW)
        return _stream(source, "xz", limited, lzma.LZMAError)
    if compression == "bzip2":
        import bz2

        return _stream(source, "bzip2", bz2.BZ2Decompressor, OSError)
    raise Unsupported(f"layers compressed with {compression!r} are not supported")


def _gunzip(source: _Source) -> Iterator[bytes]:
    module = _deflate()
    data = source.read()
    if not data:
        raise ImageRefused("the layer's gzip stream is empty")
    try:
        while data:
            stream = module.decompressobj(wbits=_GZIP)  # gzip files may be concatenated
            while not stream.eof:
                chunk = stream.decompress(data, _CHUNK_SIZE)
                if chunk:
                    yield chunk
                data = stream.unconsumed_tail
                if not data and not stream.eof and len(chunk) < _CHUNK_SIZE:
                    data = source.read()
                    if not data:
                        raise ImageRefused("the layer's gzip stream is cut short")
            data = stream.unused_data or source.read()
            while data and not data.strip(b"\0"):
                data = source.read()  # padding, as some tools leave after the last member
    except (zlib.error, module.error) as error:
        raise ImageRefused(f"the layer is not a gzip stream: {error}") from None


def _stream(
    source: _Source, name: str, make: Callable[[], Any], failure: type[Exception]
) -> Iterator[bytes]:
    """Whatever has the interface of Python's own decompressors."""
    data = source.read()
    try:
        while data:
            stream = make()  # files of these forms may be concatenated
            while not stream.eof:
                if stream.needs_input and not data:
                    data = source.read()
                    if not data:
                        raise ImageRefused(f"the layer's {name} stream is cut short")
                chunk = stream.decompress(data, _CHUNK_SIZE)
                data = b""
                if chunk:
                    yield chunk
            data = stream.unused_data or source.read()
    except failure as error:
        raise ImageRefused(f"the layer is not a {name} stream: {error}") from None


def _zstandard(source: _Source, module: ModuleType) -> Iterator[bytes]:
    """The package zstandard has no bounded output for objects, but a reader that has."""
    reader = module.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        source, read_size=_READ_SIZE, read_across_frames=True
    )
    try:
        while chunk := reader.read(_CHUNK_SIZE):
            yield chunk
    except module.ZstdError as error:
        raise ImageRefused(f"the layer is not a zstd stream: {error}") from None


class Compressor(Protocol):
    """What zlib's compressobj and zstd's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Stored:
    """No compression."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: str, *, reproducible: bool = False) -> Compressor:
    """A stream compressor.

    Levels by measurement on a Debian tree: ISA-L's first is four times as fast as zlib's first for
    the same size; zstd's third is as fast and a quarter smaller.  ``reproducible`` takes zlib, whose
    bytes do not depend on the processor.
    """
    made: Any
    if compression == "none":
        made = _Stored()
    elif compression == "zstd":
        made = zstd().ZstdCompressor(level=3)
        if not hasattr(made, "flush"):  # the package zstandard
            made = made.compressobj()
    elif compression == "gzip":
        deflate: Any = zlib if reproducible else _deflate()
        # wbits 31: zlib writes the header itself, with no time and no name in it.
        made = deflate.compressobj(6 if reproducible else 1, zlib.DEFLATED, _GZIP)
    else:
        raise Unsupported(f"layers cannot be compressed with {compression!r}")
    checked: Compressor = made
    return checked


def _deflate() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def zstd() -> ModuleType:
    """Python's own module, its backport, or the package zstandard."""
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise HostLacks(
        "zstd needs Python 3.14 or a package for it",
        hint=f"{sys.executable} -m pip install zstandard",
    )
