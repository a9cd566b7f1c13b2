"""Fetch the blobs of an image: several at a time, resumable, into files and unpackers at once."""

from __future__ import annotations

import os
import threading

from rootless.errors import ImageRefused
from rootless.events import Transfer
from rootless.registry.crew import PARALLEL, SLOW_BYTES, Crew, Pace
from rootless.registry.http import Transient, translate
from rootless.registry.part import CHUNK_BYTES, Part, pipe
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import BaseHTTPResponse

    from rootless.events import Report
    from rootless.image.documents import Descriptor
    from rootless.registry.client import Client


class Job(NamedTuple):
    """A blob to fetch.

    ``is_stored`` says whether another process has stored the blob meanwhile; then ``unpack_stored`` is
    called.  Otherwise ``unpack``, if any, is given the reading end of a pipe with the blob's bytes, which
    is closed when it returns.
    """

    descriptor: Descriptor
    is_stored: Callable[[], bool]
    unpack: Callable[[int], None] | None = None
    unpack_stored: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """What progress calls the blob."""
        return self.descriptor["digest"].partition(":")[2][:12]


class Fetch:
    """One transfer; ``parts`` are the files of the blobs that it has begun."""

    def __init__(self, client: Client, jobs: tuple[Job, ...], directory: str):
        self.parts: list[Part] = []
        self._client = client
        self._directory = directory
        self._crew = Crew([lambda job=job: self._fetch(job) for job in jobs], place=directory)  # type: ignore[misc]

    def run(self, report: Report, *, parallel: int = PARALLEL) -> None:
        """Fetch everything.  Raises the first failure after all threads have ended.

        Returns early when an unpacker stopped reading: it knows why.
        """
        self._crew.run(report, parallel=parallel)

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
            self.parts.append(part)
            if job.unpack is not None:
                follower = self._start_follower(part, job.unpack)
            self._download(part, job)
            part.finish()
            self._crew.tell(_progress(job, "downloaded", part))
        finally:
            part.end()
            if follower is not None:
                follower.join()
            part.close()

    def _start_follower(self, part: Part, unpack: Callable[[int], None]) -> threading.Thread:
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
                self._crew.stop()

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
                # A server that gives a few bytes each time would otherwise be asked for ever.
                progressed = part.verifier.done_bytes - begin >= SLOW_BYTES
                failures = 1 if progressed else failures + 1
                self._crew.check()
                self._client.http.pause(failure, failures, sleep=self._crew.sleep)

    def _stream(self, part: Part, job: Job) -> None:
        """Read one answer to its end; raises Transient when it ends early."""
        have = part.verifier.done_bytes
        response, position = self._client.blob(job.descriptor["digest"], offset=have)
        pace = Pace(self._client.source.host)
        try:
            _check_length(response.headers.get("Content-Length"), position, job)
            with self._crew.reading(response):
                while chunk := self._read(response):
                    fresh = chunk[max(have - position, 0) :] if position < have else chunk
                    position += len(chunk)
                    if fresh:
                        part.append(fresh)
                    if pace.step(len(chunk)):
                        self._crew.tell(_progress(job, "downloading", part))
        finally:
            if part.is_complete:
                response.release_conn()
            else:
                response.close()
        if not part.is_complete:
            done, size = part.verifier.done_bytes, job.descriptor["size"]
            raise Transient(ImageRefused(f"{part.verifier.name} has {done} bytes, not {size}"))

    def _read(self, response: BaseHTTPResponse) -> bytes:
        from urllib3.exceptions import HTTPError

        self._crew.check()
        try:
            return response.read1(CHUNK_BYTES)
        except (HTTPError, OSError) as error:
            self._crew.check()
            raise translate(error, self._client.source.host) from None


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
