"""Container logs on disk: lines as ``TIME stdout|stderr F|P TEXT`` (the k8s-file form), or docker's
json-file; written by the MONITOR, read by whoever asks.

``F`` ends a line, ``P`` is a part of one that goes on in the next record: nothing is lost or invented.
"""

from __future__ import annotations

import os
import time

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.runtime.journald import JournalWriter

STREAMS = {1: b"stdout", 2: b"stderr"}
_NUMBERS = {b"stdout": 1, b"stderr": 2}
DRIVERS = ("k8s-file", "json-file", "journald", "none")


class LogOptions(NamedTuple):
    """``driver`` of DRIVERS; a file is rotated at ``max_size`` bytes (0: never), ``max_files`` are kept."""

    driver: str = "k8s-file"
    max_size: int = 0
    max_files: int = 1
    tag: str = ""


class LogRecord(NamedTuple):
    """One record: ``time`` as RFC 3339, ``stream`` 1 or 2, ``text`` without the newline that ``whole`` means."""

    time: str
    stream: int
    whole: bool
    text: bytes


def open_writer(bundle: str, options: LogOptions) -> LogWriter | JournalWriter | None:
    """What keeps the output of the container in ``bundle``; None where nothing does.  Raises OSError."""
    if options.driver == "none":
        return None
    if options.driver != "journald":
        return LogWriter(f"{bundle}/log", options)
    import json

    from rootless.files import read_bytes
    from rootless.runtime.journald import JournalWriter, fields_of

    record = json.loads(read_bytes(f"{bundle}/container.json"))
    fields = fields_of(
        container_id=record["id"], name=record["name"], image=record["image"], tag=options.tag
    )
    return JournalWriter(fields)


class LogWriter:
    """Appends what a container wrote; owns the file."""

    def __init__(self, path: str, options: LogOptions):
        self._path = path
        self._options = options
        self._encode = _encode_json if options.driver == "json-file" else _encode_k8s
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def write(self, stream: int, content: bytes) -> None:
        """Append what was read in one piece, with one write(2) a file."""
        from rootless.files import write_all

        encoded = self._encode(_now(), stream, content)
        while encoded:
            # Short lines grow to twenty times their size, so not all need fit into one file.
            length = self._fitting(encoded)
            if not length:
                self._rotate()
                continue
            write_all(self._fd, encoded[:length])
            self._size += length
            encoded = encoded[length:]

    def _fitting(self, encoded: bytes) -> int:
        """How many bytes, whole records, the file may still take; at least one record if it is empty."""
        if not self._options.max_size or self._size + len(encoded) <= self._options.max_size:
            return len(encoded)
        room = self._options.max_size - self._size
        fitting = encoded.rfind(b"\n", 0, max(0, room)) + 1
        return fitting or (encoded.find(b"\n") + 1 if not self._size else 0)

    def _rotate(self) -> None:
        """``log`` becomes ``log.1``, ``log.1`` becomes ``log.2``; the oldest goes."""
        os.close(self._fd)
        last = self._options.max_files - 1
        for number in range(last, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            if os.path.exists(older):
                os.replace(older, f"{self._path}.{number}")
        if last < 1:
            os.truncate(self._path, 0)
        self._fd = self._open()
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _now() -> bytes:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest:09d}Z".encode()


def _encode_k8s(now: bytes, stream: int, content: bytes) -> bytes:
    whole = b"%b %b F " % (now, STREAMS[stream])
    *lines, rest = content.split(b"\n")
    encoded = whole + (b"\n" + whole).join(lines) + b"\n" if lines else b""
    if rest:
        encoded += b"%b %b P %b\n" % (now, STREAMS[stream], rest)
    return encoded


def _encode_json(now: bytes, stream: int, content: bytes) -> bytes:
    import json

    name, text = STREAMS[stream].decode(), now.decode()
    records = []
    for line in content.splitlines(keepends=True):
        record = {"log": line.decode("utf-8", "replace"), "stream": name, "time": text}
        records.append(json.dumps(record, ensure_ascii=False))
    return ("\n".join(records) + "\n").encode()


def files_of(path: str) -> list[str]:
    """The rotated files and the current one, oldest first."""
    older = []
    number = 1
    while os.path.exists(f"{path}.{number}"):
        older.append(f"{path}.{number}")
        number += 1
    return [*reversed(older), *([path] if os.path.exists(path) else [])]


def parse(line: bytes) -> LogRecord | None:
    """One line of a log file, newline included; None for what a crash cut off."""
    if not line.endswith(b"\n"):
        return None
    if line.startswith(b"{"):
        return _parse_json(line)
    parts = line[:-1].split(b" ", 3)
    if len(parts) < 4 or parts[1] not in _NUMBERS:
        return None
    return LogRecord(parts[0].decode(), _NUMBERS[parts[1]], parts[2] == b"F", parts[3])


def _parse_json(line: bytes) -> LogRecord | None:
    import json

    try:
        document = json.loads(line)
        text = document["log"].encode()
        stream = _NUMBERS[document["stream"].encode()]
        return LogRecord(document["time"], stream, text.endswith(b"\n"), text.removesuffix(b"\n"))
    except (ValueError, KeyError):
        return None


class Place(NamedTuple):
    """Where a log ended at some time: the file by its inode, and how far it went."""

    inode: int
    offset: int


def place_of_end(path: str) -> Place:
    """Where the log ends now; what is written later is beyond it."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Place(0, 0)
    return Place(status.st_ino, status.st_size)


def _parts(path: str, end: Place | None) -> list[tuple[str, int]]:
    """The files up to ``end``, oldest first, and how many bytes of each."""
    parts: list[tuple[str, int]] = []
    for name in files_of(path):
        try:
            status = os.stat(name)
        except FileNotFoundError:  # rotated away
            continue
        if end is not None and status.st_ino == end.inode:
            return [*parts, (name, end.offset)]
        parts.append((name, status.st_size))
    return parts


def read(path: str, end: Place | None = None) -> Iterator[LogRecord]:
    """Every record of a log up to ``end``, oldest first, the rotated files included."""
    for name, size in _parts(path, end):
        with open(name, "rb") as file:
            left = size
            for line in file:
                left -= len(line)
                record = parse(line) if left >= 0 else None
                if record is not None:
                    yield record
                if left <= 0:
                    break


def tail(path: str, count: int, end: Place | None = None) -> list[LogRecord]:
    """The records that make up the last ``count`` lines before ``end``, reading from there backwards."""
    found: list[LogRecord] = []
    lines = 0
    for name, size in reversed(_parts(path, end)):
        for line in _backwards(name, size):
            record = parse(line)
            if record is None:
                continue
            if record.whole or not found:
                lines += 1
                if lines > count:
                    return found[::-1]
            found.append(record)
    return found[::-1]


def _backwards(path: str, position: int, chunk: int = 1 << 16) -> Iterator[bytes]:
    """The lines of a file before a position, from the last to the first."""
    with open(path, "rb") as file:
        rest = b""
        while position > 0:
            size = min(chunk, position)
            position -= size
            file.seek(position)
            lines = (file.read(size) + rest).splitlines(keepends=True)
            rest = lines[0]
            yield from reversed(lines[1:])
        if rest:
            yield rest


def follow(path: str, ended: int, start: Place) -> Iterator[LogRecord]:
    """Records as they are written, from ``start`` on, until descriptor ``ended`` is readable.

    Survives rotation: when the file at ``path`` is another one, the old is read to its end first.
    """
    import select

    file = _open_at(path, start)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    rest = b""
    over = False
    while True:
        content = file.read(1 << 20) if file is not None else b""
        if content:
            *lines, rest = (rest + content).split(b"\n")
            yield from filter(None, (parse(line + b"\n") for line in lines))
            continue
        if over:
            return
        newer = _rotated(path, file)
        if newer is not None:
            file = newer
            continue
        over = bool(poll.poll(50))


def _open_at(path: str, start: Place):  # type: ignore[no-untyped-def]  # an unbuffered file or None
    for name in reversed(files_of(path)):  # it may have been rotated since
        try:
            file = open(name, "rb", buffering=0)  # noqa: SIM115 - follow() reads it while it runs
        except FileNotFoundError:
            continue
        if os.fstat(file.fileno()).st_ino == start.inode:
            file.seek(start.offset)
            return file
        file.close()
    return None


def _rotated(path: str, file):  # type: ignore[no-untyped-def]  # as above
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if file is not None and os.fstat(file.fileno()).st_ino == status.st_ino:
        if file.tell() > status.st_size:  # truncated: only one file is kept
            file.seek(0)
        return None
    return open(path, "rb", buffering=0)
