"""Reads a tar stream that may be hostile: ustar, GNU and pax headers, every sparse format.

Nothing here touches a file system.  Names stay bytes, are cleaned of ``.``, ``..`` and leading slashes,
and one that leaves the root is refused.  What a header may cost in memory is bounded by ``Limits``.
"""

from __future__ import annotations

from rootless.errors import ImageRefused
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 512
_ZERO_BLOCK = bytes(BLOCK)
_LARGEST = 1 << 62  # bytes: what system calls take
_LATEST_NS = (1 << 40) * 1_000_000_000
_GNU_MAGIC = b"ustar  \0"

# Type flags (POSIX.1-2008 pax, "ustar Interchange Format"; GNU tar's own are letters).
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0123456"
_CONTIGUOUS, _OLD_FILE = b"7\0"
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK, _GNU_SPARSE = b"xgLKS"
_WITHOUT_CONTENT = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_KNOWN = frozenset((FILE, *_WITHOUT_CONTENT))


class Limits(NamedTuple):
    """What one layer may ask for; the defaults are far above what real images need."""

    entries: int = 2_000_000  # headers of every kind
    header_bytes: int = 1 << 20  # one pax header, long name or sparse map
    path_bytes: int = 4095  # PATH_MAX without its NUL
    extensions: int = 8  # headers before the entry they describe


class Segment(NamedTuple):
    """A stretch of a sparse file that holds content."""

    offset: int
    size: int


class Entry(NamedTuple):
    """One member of the archive.  ``path`` is relative and clean; empty for the root itself.

    ``size`` is that of the file; ``segments`` is None unless the file is sparse.
    """

    path: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    device: tuple[int, int]
    xattrs: tuple[tuple[bytes, bytes], ...]
    segments: tuple[Segment, ...] | None


class Source:
    """Exact reads from an iterable of chunks, without copying content."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._view = memoryview(b"")
        self._position = 0

    def block(self) -> bytes:
        """The next 512 bytes, or fewer at the end."""
        position = self._position
        block = bytes(self._view[position : position + BLOCK])
        if len(block) == BLOCK:
            self._position = position + BLOCK
            return block
        self._position = len(self._view)
        return block + b"".join(self.pieces(BLOCK - len(block), exact=False))

    def pieces(self, size: int, *, exact: bool = True) -> Iterator[memoryview]:
        """The next ``size`` bytes as they come.  Raises ImageRefused when the stream ends before."""
        while size:
            if self._position == len(self._view):
                chunk = next(self._chunks, None)
                if chunk is None:
                    if exact:
                        raise ImageRefused("the layer's tar ends in the middle of a file")
                    return
                self._view = memoryview(chunk)
                self._position = 0
            piece = self._view[self._position : self._position + size]
            self._position += len(piece)
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes as one object; the caller has checked the size."""
        return b"".join(self.pieces(size))

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes."""
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Read to the end of the stream."""
        self._view = memoryview(b"")
        self._position = 0
        for _ in self._chunks:
            pass


class _Extensions:
    """What the headers before an entry say about it."""

    def __init__(self) -> None:
        self.pax: dict[bytes, bytes] = {}
        self.map: list[bytes] = []  # GNU sparse 0.0 repeats its keys
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.count = 0


class TarReader:
    """Iterates over the entries; ``content()`` is that of the entry just given."""

    def __init__(self, chunks: Iterable[bytes], limits: Limits | None = None):
        self._source = Source(chunks)
        self._limits = limits or Limits()
        self._headers = 0
        self._left = 0  # bytes of the current entry's content that nobody read
        self._padding = 0

    def content(self) -> Iterator[memoryview]:
        """The stored bytes of the current entry (of its segments, when it is sparse)."""
        for piece in self._source.pieces(self._left):
            self._left -= len(piece)
            yield piece

    def __iter__(self) -> Iterator[Entry]:
        """Every entry in order.  The stream is read to its end afterwards."""
        while (header := self._next_header()) is not None:
            extensions = _Extensions()
            while header[156] in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
                self._read_extension(header, extensions)
                header = self._next_header() or _refuse_end()
            yield self._entry(header, extensions)
        self._source.drain()

    def _next_header(self) -> bytes | None:
        rest = self._left + self._padding
        if rest:
            self._left = self._padding = 0
            self._source.skip(rest)
        block = self._source.block()
        if not block or block == _ZERO_BLOCK:
            return None
        if len(block) < BLOCK:
            raise ImageRefused("the layer's tar ends in the middle of a header")
        self._headers += 1
        if self._headers > self._limits.entries:
            raise ImageRefused(f"the layer has more than {self._limits.entries} entries")
        if sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156]):
            raise ImageRefused("the layer's tar has a header with a wrong checksum")
        return block

    def _read_extension(self, header: bytes, extensions: _Extensions) -> None:
        size = _number(header[124:136])
        extensions.count += 1
        if not 0 <= size <= self._limits.header_bytes:
            raise ImageRefused(f"the layer's tar has an extended header of {size} bytes")
        if extensions.count > self._limits.extensions:
            raise ImageRefused("the layer's tar has too many extended headers before one entry")
        content = self._source.read(size)
        self._source.skip(-size % BLOCK)
        match header[156]:
            case int(kind) if kind == _PAX:
                parse_pax(content, extensions.pax, extensions.map)
            case int(kind) if kind == _LONG_NAME:
                extensions.name = content.partition(b"\0")[0]
            case int(kind) if kind == _LONG_LINK:
                extensions.link = content.partition(b"\0")[0]
            case _:
                pass  # global headers describe no entry; the peers ignore them too

    def _entry(self, header: bytes, extensions: _Extensions) -> Entry:
        kind = header[156]
        if kind in (_CONTIGUOUS, _OLD_FILE):
            kind = FILE
        pax = extensions.pax
        name = extensions.name or _name(header)
        link = extensions.link or header[157:257].partition(b"\0")[0]
        uid, gid = _number(header[108:116]), _number(header[116:124])
        size = _number(header[124:136])
        mtime_ns = _number(header[136:148]) * 1_000_000_000
        xattrs: tuple[tuple[bytes, bytes], ...] = ()
        if pax:
            name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or name
            link = pax.get(b"linkpath") or link
            uid = _decimal(pax, b"uid", uid)
            gid = _decimal(pax, b"gid", gid)
            size = _decimal(pax, b"size", size)
            if b"mtime" in pax:
                mtime_ns = parse_time(pax[b"mtime"])
            xattrs = _xattrs(pax)
        if kind == FILE and name.endswith(b"/"):
            kind = DIRECTORY  # Version 7 tar had no type for it
        if not 0 <= size <= _LARGEST or uid < 0 or gid < 0:
            raise ImageRefused(f"{text(name)} has a size or an owner that cannot be")
        stored = 0 if kind in _WITHOUT_CONTENT else size
        self._left, self._padding = stored, -stored % BLOCK
        segments = None
        if kind == _GNU_SPARSE or (kind == FILE and _is_sparse(pax)):
            kind = FILE
            size, segments = self._sparse(header, extensions, size)
        if kind not in _KNOWN:
            raise ImageRefused(f"{text(name)} has the unknown tar type {chr(kind)!r}")
        return Entry(
            path=self._clean(name),
            kind=kind,
            mode=_number(header[100:108]) & 0o7777,
            uid=uid,
            gid=gid,
            size=0 if kind in _WITHOUT_CONTENT else size,
            mtime_ns=min(max(mtime_ns, -_LATEST_NS), _LATEST_NS),
            link=self._link(kind, name, link),
            device=(_number(header[329:337]), _number(header[337:345]))
            if kind in (CHARACTER, BLOCK_DEVICE)
            else (0, 0),
            xattrs=xattrs,
            segments=segments,
        )

    def _clean(self, name: bytes) -> bytes:
        if len(name) > self._limits.path_bytes:
            raise ImageRefused(f"{text(name[:64])}... is a name of {len(name)} bytes")
        return clean(name)

    def _link(self, kind: int, name: bytes, link: bytes) -> bytes:
        if kind not in (HARD_LINK, SYMLINK):
            return b""
        if not link or len(link) > self._limits.path_bytes or b"\0" in link:
            raise ImageRefused(f"{text(name)} is a link to a name that cannot be")
        return clean(link) if kind == HARD_LINK else link

    def _sparse(
        self, header: bytes, extensions: _Extensions, stored: int
    ) -> tuple[int, tuple[Segment, ...]]:
        """The true size and the segments of a sparse file (GNU tar manual, "Sparse Formats")."""
        pax = extensions.pax
        if header[156] == _GNU_SPARSE:
            numbers, size = self._old_sparse_map(header), _number(header[483:495])
        elif pax.get(b"GNU.sparse.major") == b"1":
            numbers = self._stored_sparse_map()
            size = _decimal(pax, b"GNU.sparse.realsize", -1)
        else:
            words = pax.get(b"GNU.sparse.map", b"").split(b",") if not extensions.map else None
            numbers = [_integer(word) for word in words or extensions.map if word]
            size = _decimal(pax, b"GNU.sparse.size", -1)
        pairs = zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0)
        segments = tuple(Segment(offset, length) for offset, length in pairs)
        end = 0
        for segment in segments:
            if segment.size < 0 or segment.offset < end:
                raise ImageRefused("a sparse file of the layer has a map out of order")
            end = segment.offset + segment.size
        if not end <= size <= _LARGEST or sum(each.size for each in segments) != self._left:
            raise ImageRefused("a sparse file of the layer has a map that does not fit its size")
        return size, segments

    def _old_sparse_map(self, header: bytes) -> list[int]:
        numbers, block, more = _sparse_numbers(header[386:482]), header, header[482]
        while more:
            if len(numbers) * 12 > self._limits.header_bytes:
                raise ImageRefused("a sparse file of the layer has an endless map")
            block = self._source.read(BLOCK)
            numbers += _sparse_numbers(block[:504])
            more = block[504]
        return numbers

    def _stored_sparse_map(self) -> list[int]:
        """Version 1.0: the content begins with decimal numbers, a line each, padded to a block."""
        content = b""
        count = None
        while count is None or content.count(b"\n") < 1 + 2 * count:
            if len(content) >= self._limits.header_bytes or self._left < BLOCK:
                raise ImageRefused("a sparse file of the layer has an endless map")
            content += self._source.read(BLOCK)
            self._left -= BLOCK
            if count is None and b"\n" in content:
                count = _integer(content.partition(b"\n")[0])
        return [_integer(line) for line in content.split(b"\n")[1 : 1 + 2 * count]]


def text(name: bytes) -> str:
    """A name for a message; control characters and invalid UTF-8 are escaped."""
    decoded = name.decode(errors="backslashreplace")
    if decoded.isprintable():
        return decoded
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in decoded
    )


def clean(name: bytes) -> bytes:
    """The path without ``.``, ``..``, doubled and leading slashes.

    An absolute name is taken as below the root, as the peers do.  Raises ImageRefused when ``..``
    leaves the root, for a NUL, and for a component longer than any file system's.
    """
    if name.startswith(b"./"):
        name = name[2:]
    if b"\0" in name:
        raise ImageRefused(f"{text(name)} has a NUL in its name")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not parts:
                raise ImageRefused(f"{text(name)} leaves the root of the layer")
            parts.pop()
            continue
        if len(part) > 255:
            raise ImageRefused(f"{text(part[:64])}... is a name of {len(part)} bytes")
        parts.append(part)
    return b"/".join(parts)


def parse_pax(content: bytes, records: dict[bytes, bytes], sparse: list[bytes]) -> None:
    """Add the records of a pax header, ``LENGTH KEY=VALUE\\n`` each, where LENGTH counts all of it.

    The keys that GNU sparse 0.0 repeats go to ``sparse`` in their order.
    """
    position = 0
    while position < len(content):
        space = content.find(b" ", position, position + 20)
        length = _integer(content[position:space]) if space > 0 else 0
        end = position + length
        if length < 5 or end > len(content) or content[end - 1] != 0x0A:
            raise ImageRefused("the layer's tar has a malformed pax header")
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise ImageRefused("the layer's tar has a malformed pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append(value)
        records[key] = value
        position = end


def parse_time(value: bytes) -> int:
    """Nanoseconds of a pax time: decimal seconds with a fraction, possibly negative."""
    sign = -1 if value.startswith(b"-") else 1
    seconds, _, fraction = value.lstrip(b"-").partition(b".")
    digits = (fraction[:9] + b"000000000")[:9]
    return sign * (_integer(seconds) * 1_000_000_000 + _integer(digits))


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:262] == b"ustar" and header[257:265] != _GNU_MAGIC:
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _number(field: bytes) -> int:
    """Octal text, or base 256 when the first bit is set (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << 8 * len(field) - 1
        return value
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise ImageRefused("the layer's tar has a header that is no number") from None


def _integer(word: bytes) -> int:
    if not word.isdigit() or len(word) > 20:
        raise ImageRefused(f"the layer's tar has {text(word[:32])!r} where a number belongs")
    return int(word)


def _decimal(pax: dict[bytes, bytes], key: bytes, default: int) -> int:
    value = pax.get(key)
    return default if not value else _integer(value)


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    prefix = b"SCHILY.xattr."
    return tuple((key[len(prefix) :], pax[key]) for key in pax if key.startswith(prefix))


def _is_sparse(pax: dict[bytes, bytes]) -> bool:
    return any(key in pax for key in (b"GNU.sparse.map", b"GNU.sparse.major", b"GNU.sparse.size"))


def _sparse_numbers(table: bytes) -> list[int]:
    fields = [table[start : start + 12] for start in range(0, len(table), 12)]
    numbers: list[int] = []
    for offset, length in zip(fields[::2], fields[1::2], strict=True):
        if length[0] == 0:
            break
        numbers += (_number(offset), _number(length))
    return numbers


def _refuse_end() -> bytes:
    raise ImageRefused("the layer's tar ends after an extended header")
