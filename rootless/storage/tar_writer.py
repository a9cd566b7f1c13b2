"""Encodes tar headers: ustar, and pax records for what does not fit.  Equal input gives equal bytes."""

from __future__ import annotations

from rootless.storage.tar_reader import BLOCK, BLOCK_DEVICE, CHARACTER, DIRECTORY, FILE
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.storage.tar_reader import Entry

END = bytes(2 * BLOCK)
_PAX = ord("x")
_PAX_NAME = b"PaxHeaders.0/entry"  # what a reader without pax would call it
_MOST_OCTAL = {8: 0o7777777, 12: 0o77777777777}


def header(entry: Entry) -> bytes:
    """The blocks that come before the content of ``entry``; times are whole seconds.

    The layers of the peers have no fractions either, so a layer means the same everywhere.
    """
    seconds = entry.mtime_ns // 1_000_000_000
    name = (entry.path or b".") + b"/" if entry.kind == DIRECTORY else entry.path
    size = entry.size if entry.kind == FILE else 0
    records: list[tuple[bytes, bytes]] = []
    prefix, short = _split(name)
    if short is None:
        records.append((b"path", name))
    if len(entry.link) > 100:
        records.append((b"linkpath", entry.link))
    for key, number, width in (
        (b"uid", entry.uid, 8),
        (b"gid", entry.gid, 8),
        (b"size", size, 12),
        (b"mtime", seconds, 12),
    ):
        if not 0 <= number <= _MOST_OCTAL[width]:
            records.append((key, b"%d" % number))
    records += [(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs]
    block = _block(
        (name[:100] if short is None else short, prefix, entry.link[:100]),
        (entry.mode, entry.uid, entry.gid, size, seconds),
        entry.kind,
        entry.device if entry.kind in (CHARACTER, BLOCK_DEVICE) else (0, 0),
    )
    return _pax(records) + block if records else block


def padding(size: int) -> bytes:
    """What follows ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in sorted(records))
    block = _block((_PAX_NAME, b"", b""), (0o644, 0, 0, len(body), 0), _PAX, (0, 0))
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n`` where LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """The ustar prefix and name; no name when they cannot hold it."""
    if len(name) <= 100:
        return b"", name
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut > 0 and len(name) - cut - 1 <= 100:
        return name[:cut], name[cut + 1 :]
    return b"", None


def _block(
    names: tuple[bytes, bytes, bytes],
    numbers: tuple[int, int, int, int, int],
    kind: int,
    device: tuple[int, int],
) -> bytes:
    name, prefix, link = names
    mode, uid, gid, size, seconds = numbers
    device_fields = b"%07o\0%07o\0" % device if any(device) else bytes(16)
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            _octal(mode, 8),
            _octal(uid, 8),
            _octal(gid, 8),
            _octal(size, 12),
            _octal(seconds, 12),
            b"        ",
            bytes((kind,)),
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            device_fields,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(number: int, width: int) -> bytes:
    fits = 0 <= number <= _MOST_OCTAL[width]
    return b"%0*o\0" % (width - 1, number if fits else 0)
