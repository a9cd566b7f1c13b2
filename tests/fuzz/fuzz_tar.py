"""Random layer archives: unpacked inside their directory or refused, in bounded time and space.

    python3 -m tests.fuzz.fuzz_tar --seconds 3600 [--seed N]

Run it as an ordinary user.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from typing import TYPE_CHECKING

from rootless.storage.extract import Extraction
from rootless.storage.ownership import Unowned
from rootless.storage.stack import Stack
from rootless.storage.tar_reader import TarReader
from rootless.userns.idmap import single
from tests.fuzz.harness import expect, main, mutated, refused

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

NAMES = (
    *("a", "a/b", "a/b/c", "d", "d/", "./e", "a//b", "", ".", "..", "../x", "a/../../x", "/abs", "/../abs"),
    *("a/.wh.b", ".wh.a", "a/.wh..wh..opq", ".wh..wh..opq", ".wh.", ".wh...", "a/.wh.../x", "l", "l/x", "l/../x"),
    *("x" * 300, "é\udcff", "n\nl", "a/" * 60 + "z"),
)  # fmt: skip
TARGETS = (
    "a",
    "..",
    "../outside",
    "/",
    "/etc",
    "../../../..",
    "l",
    "a/b",
    "",
    "./a",
    "../outside/secret",
)
KINDS = (
    *(tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.AREGTYPE, b"V", b"M", b"9"),
)
LARGEST = 1 << 20
SECRET = "outside"


def archive(random: random.Random) -> bytes:
    """An archive that Python's tarfile makes, with entries that nobody should make."""
    content = io.BytesIO()
    form = random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=content, mode="w", format=form, errors="surrogateescape") as tar:
        for _ in range(random.randrange(1, 12)):
            entry = tarfile.TarInfo(random.choice(NAMES))
            entry.type = random.choice(KINDS[:3] * 3 + KINDS)
            entry.mode = random.choice((0o644, 0o755, 0o4755, 0, 0o7777))
            entry.uid = entry.gid = random.choice((0, 1000, 1 << 31))
            entry.mtime = random.choice((0, 1, 1 << 33, -1))
            if entry.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry.linkname = random.choice(TARGETS)
            data = b"data" * random.randrange(4)
            if form == tarfile.PAX_FORMAT and random.random() < 0.3:
                key = random.choice(
                    (
                        "path",
                        "linkpath",
                        "size",
                        "mtime",
                        "SCHILY.xattr.user.x",
                        "GNU.sparse.map",
                        "GNU.sparse.major",
                        "GNU.sparse.realsize",
                        "uid",
                    )
                )
                entry.pax_headers = {
                    key: random.choice(("../x", "9" * 30, "-1", "0,1,2", "", "1", "x" * 9000))
                }
            if entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
                entry.size = len(data)
            try:
                tar.addfile(entry, io.BytesIO(data))
            except (ValueError, UnicodeError, OverflowError):  # what tarfile cannot write
                continue
    made = content.getvalue()
    return mutated(random, made) if random.random() < 0.5 else made


def with_checksums(content: bytes) -> bytes:
    """The archive with right checksums, so that a changed header is not refused for that alone."""
    fixed = bytearray(content)
    for at in range(0, len(fixed) - 511, 512):
        block = fixed[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            fixed[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(fixed)


def check(random: random.Random) -> None:
    """Unpack one, beside a directory that nothing may touch."""
    content = archive(random)
    if random.random() < 0.7:
        content = with_checksums(content)
    top = tempfile.mkdtemp(prefix="rootless-fuzz-")
    try:
        inside, outside = f"{top}/inside", f"{top}/outside"
        os.mkdir(inside)
        os.mkdir(outside)
        with open(f"{outside}/secret", "w", encoding="ascii") as file:
            file.write(SECRET)
        before = _seen(outside)
        refused(lambda: unpack(inside, content, whiteouts=random.choice(("overlay", "none"))))
        expect(_seen(outside) == before, "something outside has changed")
        expect(sorted(os.listdir(top)) == ["inside", "outside"], "something was made outside")
        _open_up(inside)
        for directory, _, names in os.walk(inside):
            for name in names:
                status = os.lstat(f"{directory}/{name}")
                expect(status.st_mode & 0o6000 == 0, "a set-id bit")
                expect(status.st_blocks * 512 <= LARGEST, "more than was in the archive")
    finally:
        _open_up(top)
        shutil.rmtree(top)


def unpack(directory: str, content: bytes, *, whiteouts: str) -> None:
    """As ``cp`` and the unpacker do it, for a caller without a range of ids."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        id_map = single(os.getuid(), os.getgid())
        extraction = Extraction(root, id_map=id_map, whiteouts=whiteouts, ownership=Unowned(id_map))
        reader = TarReader(_pieces(content))
        for entry in reader:
            extraction.apply(entry, reader.content())
        extraction.finish(Stack(()))
    finally:
        os.close(root)


def _pieces(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 700):
        yield content[at : at + 700]


def _seen(directory: str) -> list[tuple[str, int, int, int]]:
    return [
        (each.name, status.st_size, status.st_mtime_ns, status.st_nlink)
        for each in sorted(os.scandir(directory), key=lambda each: each.name)
        for status in (each.stat(follow_symlinks=False),)
    ]


def _open_up(top: str) -> None:
    """Entries may have any mode, the directory itself included."""
    os.chmod(top, 0o700)
    for directory, names, _ in os.walk(top):
        for name in names:
            if not os.path.islink(f"{directory}/{name}"):
                os.chmod(f"{directory}/{name}", 0o700)


if __name__ == "__main__":
    main(check, __doc__.partition("\n")[0])
