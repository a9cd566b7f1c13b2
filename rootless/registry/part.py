"""A blob on its way: the file that grows, the lock that one process at a time holds, and its readers."""

from __future__ import annotations

import os
import threading

from rootless import files
from rootless.errors import ImageRefused
from rootless.image.digest import Verifier
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.documents import Descriptor

CHUNK_BYTES = 256 << 10
_PIPE_BYTES = 1 << 20


class StalePart(Exception):
    """What an earlier download left is not the beginning of the blob; it is removed now."""


class Part:
    """``downloads/<algorithm>/<hex>.part``, locked from ``open`` to ``close``.

    One thread appends; others follow what was appended.
    """

    def __init__(self, directory: str, descriptor: Descriptor):
        self.descriptor = descriptor
        algorithm, _, encoded = descriptor["digest"].partition(":")
        self.path = f"{directory}/{algorithm}/{encoded}.part"
        self.verifier = Verifier(
            descriptor["digest"], descriptor["size"], name=f"layer {descriptor['digest']}"
        )
        self.resumed_bytes = 0
        self._fd = -1
        self._lock_fd = -1
        self._changed = threading.Condition()
        self._available = 0
        self._ended = False

    def open(self) -> None:
        """Wait for the lock, and hash what an earlier download left."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        self._lock_fd = files.open_lock(f"{self.path}.lock")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size > self.descriptor["size"]:
            os.ftruncate(self._fd, 0)
        while chunk := os.read(self._fd, CHUNK_BYTES):
            self.verifier.update(chunk)
            self._publish(len(chunk))
        self.resumed_bytes = self.verifier.done_bytes

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there."""
        return self.verifier.done_bytes == self.descriptor["size"]

    def append(self, chunk: bytes | memoryview) -> None:
        """Hash and keep the next bytes.  Raises ImageRefused when there are more than announced."""
        self.verifier.update(chunk)
        files.write_all(self._fd, chunk)
        self._publish(len(chunk))

    def finish(self) -> None:
        """Check the whole.  A wrong one is removed; if part of it was old, StalePart says so."""
        try:
            self.verifier.finish()
        except ImageRefused:
            os.unlink(self.path)
            if self.resumed_bytes:
                raise StalePart(self.path) from None
            raise
        self.end()

    def end(self) -> None:
        """Tell the followers that nothing more comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Give up the lock; the file stays."""
        self.end()
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def remove(self) -> None:
        """Take the file away."""
        files.discard(self.path)

    def _publish(self, count: int) -> None:
        with self._changed:
            self._available += count
            self._changed.notify_all()

    def follow(self, output: int) -> bool:
        """Copy the blob into a pipe as it grows, until its end; close the pipe.

        False when the reader of the pipe went away with much of it unread.
        """
        source = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        sent = 0
        try:
            while sent < (available := self._wait_for_more(sent)):
                while sent < available:
                    sent += os.splice(
                        source, output, min(available - sent, _PIPE_BYTES), offset_src=sent
                    )
        except BrokenPipeError:
            return self.descriptor["size"] - sent < _PIPE_BYTES
        finally:
            os.close(source)
            os.close(output)
        return True

    def _wait_for_more(self, sent: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._available > sent or self._ended)
            return self._available


def pipe() -> tuple[int, int]:
    """A pipe with a large buffer."""
    import fcntl

    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        pass  # the user has many pipes already: a small one works too
    return read_end, write_end
