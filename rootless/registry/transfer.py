"""Fetch the blobs of an image: several at a time, resumable, into files and unpackers at once.

Threads download; the calling thread renders progress and raises what went wrong.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from rootless.errors import ImageRefused, RegistryUnreachable, StoreFailed
from rootless.events import Transfer
from rootless.registry.http import Transient, translate
from rootless.registry.part import CHUNK_BYTES, Part, pipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import BaseHTTPResponse

    from rootless.events import Event, Report
    from rootless.image.documents import Descriptor
    from rootless.registry.client import Client

PARALLEL = 4
_REPORT_INTERVAL_S = 0.1
_JOIN_LIMIT_S = 5.0
_SLOW_WINDOW_S = 30.0
_SLOW_BYTES = 16 << 10


class Job(NamedTuple):
    """A blob to fetch; ``unpack`` is given the reading end of a pipe with its bytes, and closes it not.

    ``is_stored`` says whether another process has stored the blob meanwhile; then ``unpack_stored`` is
    called instead.
    """

    descriptor: Descriptor
    is_stored: Callable[[], bool]
    unpack: Callable[[int], None] | None = None
    unpack_stored: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """What progress calls the blob."""
        return self.descriptor["digest"].partition(":")[2][:12]


class Stopped(Exception):
    """The transfer was called off."""


class Fetch:
    """The threads of one transfer."""

    def __init__(self, client: Client, jobs: tuple[Job, ...], directory: str):
        self._client = client
        self._jobs = list(reversed(jobs))
        self._directory = directory
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._active: dict[str, BaseHTTPResponse] = {}
        self.parts: list[Part] = []

    def run(self, report: Report, *, parallel: int = PARALLEL) -> None:
        """Fetch everything.  Raises the first failure after all threads have ended.

        Returns early when an unpacker stopped reading: it knows why.
        """
        count = min(parallel, len(self._jobs))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            while count:
                event = self._events.get()
                if event is None:
                    count -= 1
                else:
                    report(event)
        finally:
            self._end(threads)
        if isinstance(self._failure, OSError):
            raise StoreFailed(
                f"cannot keep what is downloaded in {self._directory}: {self._failure.strerror}"
            )
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    if not self._jobs:
                        return
                    job = self._jobs.pop()
                self._fetch(job)
        except Stopped:
            pass
        except BaseException as error:  # the calling thread raises it
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
        finally:
            self._events.put(None)

    def _fetch(self, job: Job) -> None:
        part = Part(self._directory, job.descriptor)
        follower: threading.Thread | None = None
        try:
            part.open()
            if job.is_stored():
                part.remove()
                if job.unpack_stored:
                    job.unpack_stored()
                return
            with self._lock:
                self.parts.append(part)
            if job.unpack is not None:
                follower = self._start_follower(part, job.unpack)
            self._download(part, job)
            part.finish()
            self._events.put(_progress(job, "downloaded", part))
        finally:
            part.end()
            if follower is not None:
                follower.join()
            part.close()

    def _start_follower(self, part: Part, unpack: Callable[[int], None]) -> threading.Thread:
        import os

        read_end, write_end = pipe()
        try:
            unpack(read_end)
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)

        def follow() -> None:
            if not part.follow(write_end):
                self._stop.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        return thread

    def _download(self, part: Part, job: Job) -> None:
        failures = 0
        while not part.is_complete:
            begin = part.verifier.done_bytes
            try:
                self._stream(part, job)
            except Transient as failure:
                failures = 1 if part.verifier.done_bytes > begin else failures + 1
                self._raise_if_stopped()
                self._client.http.pause(failure, failures, sleep=self._stop.wait)

    def _stream(self, part: Part, job: Job) -> None:
        """Read one answer to its end; raises Transient when it ends early."""
        have = part.verifier.done_bytes
        response, position = self._client.blob(job.descriptor["digest"], offset=have)
        _check_length(response.headers.get("Content-Length"), position, job)
        pace = _Pace(self._client.source.host)
        self._active[part.path] = response
        try:
            while chunk := self._read(response):
                fresh = chunk[max(have - position, 0) :] if position < have else chunk
                position += len(chunk)
                if fresh:
                    part.append(fresh)
                if pace.step(len(chunk)):
                    self._events.put(_progress(job, "downloading", part))
        finally:
            del self._active[part.path]
            if part.is_complete:
                response.release_conn()
            else:
                response.close()
        if not part.is_complete:
            done, size = part.verifier.done_bytes, job.descriptor["size"]
            raise Transient(ImageRefused(f"{part.verifier.name} has {done} bytes, not {size}"))

    def _read(self, response: BaseHTTPResponse) -> bytes:
        from urllib3.exceptions import HTTPError

        self._raise_if_stopped()
        try:
            return response.read1(CHUNK_BYTES)
        except (HTTPError, OSError) as error:
            self._raise_if_stopped()
            raise translate(error, self._client.source.host) from None

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _end(self, threads: list[threading.Thread]) -> None:
        """Stop what still runs, also where it waits for a server."""
        self._stop.set()
        for response in tuple(self._active.values()):
            # urllib3 2.3 and later can end a read of another thread; before, it ends by its timeout.
            shutdown = getattr(response, "shutdown", None)
            if shutdown is not None:
                with contextlib.suppress(OSError, ValueError):
                    shutdown()
        for thread in threads:
            thread.join(_JOIN_LIMIT_S)


class _Pace:
    """Tells when progress is due, and that a server drips."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._reported = self._window = time.monotonic()
        self._bytes = 0

    def step(self, count: int) -> bool:
        now = time.monotonic()
        self._bytes += count
        if now - self._window > _SLOW_WINDOW_S:
            if self._bytes < _SLOW_BYTES:
                raise Transient(RegistryUnreachable(f"{self._host} sends too slowly"), attempts=3)
            self._window, self._bytes = now, 0
        if now - self._reported < _REPORT_INTERVAL_S:
            return False
        self._reported = now
        return True


def _check_length(header: str | None, position: int, job: Job) -> None:
    """An answer of another length than the manifest announced is refused before it is read."""
    size = job.descriptor["size"]
    if header and header.isascii() and header.isdigit() and position + int(header) != size:
        raise ImageRefused(
            f"layer {job.descriptor['digest']} has {position + int(header)} bytes, not {size}"
        )


def _progress(job: Job, action: str, part: Part) -> Transfer:
    return Transfer(
        job.name, action, done_bytes=part.verifier.done_bytes, total_bytes=job.descriptor["size"]
    )
