"""Two threads' work beside the main one: reading ahead with a digest, and compressing behind.

Both ends hand over chunks of about a mebibyte, of which a few exist at a time.
"""

from __future__ import annotations

import hashlib
import os
from queue import Full, Queue
from threading import Event, Thread

from rootless import files
from rootless.image.digest import Digest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.storage.compression import Compressor

_AHEAD = 4
_CHUNK_SIZE = 1 << 20


class ReadAhead:
    """Runs an iterator of chunks in a thread and hashes what comes."""

    def __init__(self, chunks: Iterable[bytes], algorithm: str = "sha256"):
        self._hash = hashlib.new(algorithm)
        self._queue: Queue[bytes | BaseException | None] = Queue(_AHEAD)
        self._abandoned = Event()
        self._thread = Thread(target=self._read, args=(chunks,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        """The chunks.  Raises what the iterator raised."""
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def digest(self) -> Digest:
        """Of everything; call it at the end."""
        self._thread.join()
        return Digest(f"{self._hash.name}:{self._hash.hexdigest()}")

    def close(self) -> None:
        """Give up; the thread ends at its next chunk."""
        self._abandoned.set()

    def _read(self, chunks: Iterable[bytes]) -> None:
        try:
            for chunk in chunks:
                self._hash.update(chunk)
                if not self._put(chunk):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: bytes | BaseException | None) -> bool:
        while not self._abandoned.is_set():
            try:
                self._queue.put(item, timeout=1)
            except Full:
                continue
            return True
        return False


class WriteBehind:
    """Compresses and writes what it is given in a thread; knows both digests at the end."""

    def __init__(self, fd: int, compressor: Compressor):
        self._fd = fd
        self._compressor = compressor
        self._inner = hashlib.sha256()
        self._outer = hashlib.sha256()
        self._size = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._failure: BaseException | None = None
        self._queue: Queue[bytes | None] = Queue(_AHEAD)
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Take ``data``.  Raises what the thread met, for instance a full disk."""
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _CHUNK_SIZE:
            self._hand_over()

    def close(self) -> tuple[Digest, Digest, int]:
        """Finish; the digests of what came in and what went out, and the size of the latter."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()
        if self._failure:
            raise self._failure
        return (
            Digest(f"sha256:{self._inner.hexdigest()}"),
            Digest(f"sha256:{self._outer.hexdigest()}"),
            self._size,
        )

    def _hand_over(self) -> None:
        if self._failure:
            raise self._failure
        self._queue.put(b"".join(self._pending))
        self._pending.clear()
        self._pending_size = 0

    def _work(self) -> None:
        while (chunk := self._queue.get()) is not None:
            if self._failure:
                continue  # the writer is told at its next chunk
            try:
                self._inner.update(chunk)
                self._store(self._compressor.compress(chunk))
            except BaseException as error:
                self._failure = error
        if not self._failure:
            try:
                self._store(self._compressor.flush())
            except BaseException as error:
                self._failure = error

    def _store(self, data: bytes) -> None:
        if data:
            self._outer.update(data)
            self._size += len(data)
            files.write_all(self._fd, data)


def read_all(fd: int, size: int) -> Iterator[bytes]:
    """Exactly ``size`` bytes of a file: zeros where it has become shorter meanwhile."""
    while size:
        data = os.read(fd, min(size, _CHUNK_SIZE)) or bytes(min(size, _CHUNK_SIZE))
        size -= len(data)
        yield data
