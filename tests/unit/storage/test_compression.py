from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import threading
import zlib

import pytest

from rootless import files
from rootless.errors import ImageRefused, Unsupported
from rootless.storage import compression
from rootless.storage.compression import compressor, decompressed, detected
from rootless.storage.streams import ReadAhead, WriteBehind, read_all

TEXT = b"".join(b"%d lines of a layer\n" % n for n in range(200_000))


@pytest.fixture(params=["isal", "zlib"])
def deflate(request, monkeypatch):
    """Both implementations of gzip."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(compression, "_deflate", lambda: zlib)


def unpacked(tmp_path, content: bytes, kind: str) -> bytes:
    path = tmp_path / "blob"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(decompressed(fd, kind))
    finally:
        os.close(fd)


@pytest.mark.usefixtures("deflate")
def test_gzip_members_one_after_the_other_and_padding(tmp_path):
    for content in (
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
        gzip.compress(TEXT) + bytes(10),
        gzip.compress(TEXT) + bytes(1 << 19),
    ):
        assert unpacked(tmp_path, content, "gzip") == TEXT
    assert unpacked(tmp_path, gzip.compress(b""), "gzip") == b""


@pytest.mark.usefixtures("deflate")
@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[:50], lambda c: b"x" + c, lambda c: c + b"garbage" * 9]
)
def test_damaged_gzip_is_refused(tmp_path, damage):
    with pytest.raises(ImageRefused, match="gzip"):
        unpacked(tmp_path, damage(gzip.compress(TEXT)), "gzip")


@pytest.mark.usefixtures("deflate")
def test_a_bomb_comes_in_small_pieces(tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(64 << 20)))
    fd = os.open(path, os.O_RDONLY)
    sizes = [len(chunk) for chunk in decompressed(fd, "gzip")]
    os.close(fd)
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


def test_zstd_in_several_frames_and_damaged(tmp_path):
    module = pytest.importorskip("zstandard")
    once = module.ZstdCompressor().compress(TEXT)
    assert unpacked(tmp_path, once, "zstd") == TEXT
    assert unpacked(tmp_path, once + once, "zstd") == TEXT * 2
    with pytest.raises(ImageRefused, match="zstd"):
        unpacked(tmp_path, b"x" + once, "zstd")


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "none"])
def test_archives_say_how_they_are_compressed_also_from_a_pipe(kind):
    content = TEXT[:50_000]
    if kind == "zstd":
        pytest.importorskip("zstandard")
        fd = os.memfd_create("z")
        out = WriteBehind(fd, compressor("zstd"))
        out.write(content)
        out.close()
        packed = os.pread(fd, 1 << 20, 0)
        os.close(fd)
    else:
        pack = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "none": bytes}
        packed = pack[kind](content)
    for whole, copies in ((packed, 1), (packed + packed, 2)):
        assert b"".join(through_a_pipe(whole)) == content * copies
    if kind in ("gzip", "xz", "bzip2"):  # the package zstandard ends without a word
        with pytest.raises(ImageRefused):
            list(through_a_pipe(packed[:-20]))


def through_a_pipe(content: bytes):
    read_end, write_end = os.pipe()

    def write() -> None:
        files.write_all(write_end, content)
        os.close(write_end)

    thread = threading.Thread(target=write)
    thread.start()
    yield from detected(read_end)
    thread.join()
    os.close(read_end)


def test_damaged_xz_and_bzip2_are_refused(tmp_path):
    for kind, pack in (("xz", lzma.compress), ("bzip2", bz2.compress)):
        damaged = bytearray(pack(TEXT))
        damaged[len(damaged) // 2] ^= 0xFF
        with pytest.raises(ImageRefused, match=kind):
            unpacked(tmp_path, bytes(damaged), kind)


def test_unknown_compression_is_refused_by_name():
    with pytest.raises(Unsupported, match="lzip"):
        decompressed(0, "lzip")
    with pytest.raises(Unsupported, match="lzip"):
        compressor("lzip")


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("reproducible", [False, True])
def test_written_layers_are_read_back_with_both_digests(tmp_path, kind, reproducible):
    if kind == "zstd":
        pytest.importorskip("zstandard")
    path = str(tmp_path / "layer")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    out = WriteBehind(fd, compressor(kind, reproducible=reproducible))
    for at in range(0, len(TEXT), 77_777):
        out.write(TEXT[at : at + 77_777])
    inner, outer, size = out.close()
    os.close(fd)
    blob = (tmp_path / "layer").read_bytes()
    assert inner == f"sha256:{hashlib.sha256(TEXT).hexdigest()}"
    assert outer == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert size == len(blob)
    assert unpacked(tmp_path, blob, kind) == TEXT


def test_a_full_disk_is_reported_to_the_writer():
    fd = os.open("/dev/full", os.O_WRONLY)
    out = WriteBehind(fd, compressor("none"))
    with pytest.raises(OSError, match="space"):
        for _ in range(50):
            out.write(bytes(1 << 20))
    os.close(fd)


def test_reading_ahead_gives_the_chunks_the_digest_and_the_failure():
    stream = ReadAhead([b"a" * 10, b"b" * 10])
    assert list(stream) == [b"a" * 10, b"b" * 10]
    assert stream.digest() == f"sha256:{hashlib.sha256(b'a' * 10 + b'b' * 10).hexdigest()}"

    def failing():
        yield b"x"
        raise ImageRefused("no")

    with pytest.raises(ImageRefused):
        list(ReadAhead(failing()))


def test_an_abandoned_reader_ends():
    stream = ReadAhead(bytes(10) for _ in range(1000))
    next(iter(stream))
    stream.close()
    stream._thread.join(5)
    assert not stream._thread.is_alive()


def test_a_file_that_became_shorter_is_filled_with_zeros(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDONLY)
    assert b"".join(read_all(fd, 5)) == b"abc\0\0"
    os.close(fd)
