"""Tar archives written field by field, so that each can be wrong on purpose.

Shares no code with what it tests.  ``member`` gives the blocks of one entry; ``archive`` joins them.
"""

from __future__ import annotations

import gzip
import hashlib

BLOCK = 512
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (b"%d" % n for n in range(7))
GNU_MAGIC = b"ustar  \0"
POSIX_MAGIC = b"ustar\x0000"
NOW = 1_600_000_000


def member(
    name: str | bytes,
    content: bytes = b"",
    *,
    kind: bytes = FILE,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = NOW,
    link: str | bytes = b"",
    device: tuple[int, int] = (0, 0),
    pax: dict[str, str | bytes] | None = None,
    size: int | None = None,
    prefix: bytes = b"",
    magic: bytes = POSIX_MAGIC,
    tail: bytes = b"",
    checksum: int | None = None,
) -> bytes:
    """One entry.  ``size`` lies about the content, ``checksum`` about the header.

    ``pax`` brings a header before it; ``tail`` replaces what begins at the prefix.
    """
    raw = block(
        name=_bytes(name)[:100],
        mode=mode,
        uid=uid,
        gid=gid,
        size=len(content) if size is None else size,
        mtime=mtime,
        kind=kind,
        link=_bytes(link)[:100],
        magic=magic,
        device=device,
        tail=tail or prefix,
        checksum=checksum,
    )
    before = pax_header(pax) if pax else b""
    return before + raw + padded(content)


def block(
    *,
    name: bytes,
    size: int,
    kind: bytes,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = NOW,
    link: bytes = b"",
    magic: bytes = POSIX_MAGIC,
    device: tuple[int, int] = (0, 0),
    tail: bytes = b"",
    checksum: int | None = None,
) -> bytes:
    """A header of 512 bytes."""
    raw = b"".join(
        (
            name.ljust(100, b"\0"),
            number(mode, 8),
            number(uid, 8),
            number(gid, 8),
            number(size, 12),
            number(mtime, 12),
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            magic,
            bytes(64),
            number(device[0], 8),
            number(device[1], 8),
            tail.ljust(167, b"\0"),
        )
    )
    assert len(raw) == BLOCK
    total = sum(raw) if checksum is None else checksum
    return raw[:148] + b"%06o\0 " % total + raw[156:]


def number(value: int, width: int) -> bytes:
    """Octal, or base 256 where that is too short or the value negative."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return (value % (1 << 8 * width) | 0x80 << 8 * (width - 1)).to_bytes(width, "big")


def pax_header(records: dict[str, str | bytes], *, kind: bytes = b"x") -> bytes:
    """An extended header with these records."""
    return raw_pax(b"".join(pax_record(key, value) for key, value in records.items()), kind=kind)


def raw_pax(body: bytes, *, kind: bytes = b"x", size: int | None = None) -> bytes:
    """An extended header with any bytes in it."""
    announced = len(body) if size is None else size
    return block(name=b"PaxHeaders/x", size=announced, kind=kind) + padded(body)


def pax_record(key: str, value: str | bytes) -> bytes:
    rest = b" " + key.encode() + b"=" + _bytes(value) + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def gnu_long(name: str | bytes, *, kind: bytes = b"L") -> bytes:
    """GNU's header for a long name (``L``) or link (``K``)."""
    body = _bytes(name) + b"\0"
    header = block(name=b"././@LongLink", size=len(body), kind=kind, magic=GNU_MAGIC + b"")
    return header + padded(body)


def directory(name: str | bytes, mode: int = 0o755, **fields: object) -> bytes:
    return member(name, kind=DIRECTORY, mode=mode, **fields)  # type: ignore[arg-type]


def symlink(name: str | bytes, target: str | bytes, **fields: object) -> bytes:
    return member(name, kind=SYMLINK, mode=0o777, link=target, **fields)  # type: ignore[arg-type]


def hard_link(name: str | bytes, target: str | bytes, **fields: object) -> bytes:
    return member(name, kind=HARD_LINK, link=target, **fields)  # type: ignore[arg-type]


def whiteout(path: str) -> bytes:
    parent, slash, name = path.rpartition("/")
    return member(f"{parent}{slash}.wh.{name}")


def opaque(path: str) -> bytes:
    return member(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq")


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(2 * BLOCK)


def diff_id(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
