"""Upload blobs: what is there is left, what is near is mounted, the rest is sent (distribution-spec, push).

A blob is sent in one piece first.  When that breaks off, it is sent in chunks, so that the next failure
costs one chunk only.
"""

from __future__ import annotations

import os
from urllib.parse import quote, urljoin

from rootless.errors import RegistryDenied, RegistryFailed
from rootless.events import Transfer
from rootless.registry.crew import PARALLEL, Crew, Pace
from rootless.registry.http import Transient, read_document
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

    from rootless.events import Report
    from rootless.image.documents import Descriptor
    from rootless.registry.client import Client

_CHUNK_BYTES = 32 << 20
_BLOCK_BYTES = 256 << 10
_OCTETS = "application/octet-stream"
_ACTIONS = "pull,push"


class Blob(NamedTuple):
    """A blob to upload: the file with its bytes, and repositories of the registry that may have it."""

    descriptor: Descriptor
    path: str
    mount_from: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What progress calls the blob."""
        return self.descriptor["digest"].partition(":")[2][:12]


class Upload:
    """One transfer to one repository."""

    def __init__(
        self,
        client: Client,
        blobs: tuple[Blob, ...],
        *,
        place: str,
        chunk_bytes: int = _CHUNK_BYTES,
        always_chunked: bool = False,
    ):
        self._client = client
        self._chunk_bytes = chunk_bytes
        self._always_chunked = always_chunked
        self._crew = Crew([lambda blob=blob: self._bring(blob) for blob in blobs], place=place)  # type: ignore[misc]

    def run(self, report: Report, *, parallel: int = PARALLEL) -> None:
        """Upload everything that the registry has not.  Raises the first failure."""
        self._crew.run(report, parallel=parallel)

    def _bring(self, blob: Blob) -> None:
        digest, size = blob.descriptor["digest"], blob.descriptor["size"]
        if self._client.has_blob(digest):
            self._crew.tell(Transfer(blob.name, "exists", size, size))
            return
        for repository in blob.mount_from:
            if self._mount(digest, repository):
                self._crew.tell(Transfer(blob.name, "mounted", size, size))
                return
        self._send(blob)
        self._crew.tell(Transfer(blob.name, "uploaded", size, size))

    def _mount(self, digest: str, repository: str) -> bool:
        """Take over a blob of another repository of the registry; False where that is not possible."""
        own = self._client.source.repository
        scopes = frozenset({f"repository:{own}:{_ACTIONS}", f"repository:{repository}:pull"})
        query = f"?mount={quote(digest)}&from={quote(repository, safe='')}"

        def attempt() -> bool:
            url = self._client.url(f"blobs/uploads/{query}")
            response = self._client.request("POST", url, body=_empty, scopes=scopes)
            read_document(response, limit=1 << 20)
            if response.status == 202:
                self._cancel(_location(response, url))
            return response.status == 201

        try:
            return self._client.http.repeat(attempt)
        except RegistryDenied:
            return False  # no right to read there; then it is sent

    def _send(self, blob: Blob) -> None:
        failures = 0
        chunked = self._always_chunked
        while True:
            self._crew.check()
            try:
                session = _Session(self, blob, self._start(blob))
                session.send_chunks() if chunked else session.send_whole()
                return
            except Transient as failure:
                failures += 1
                chunked = chunked or blob.descriptor["size"] > self._chunk_bytes
                self._client.http.pause(failure, failures, sleep=self._crew.sleep)

    def _start(self, blob: Blob) -> BaseHTTPResponse:
        url = self._client.url("blobs/uploads/")
        response = self._client.request("POST", url, body=_empty, actions=_ACTIONS)
        if response.status != 202:
            raise self._client.fail(response, f"an upload to {self._client.source.name}")
        read_document(response, limit=1 << 20)
        return response

    def _cancel(self, url: str) -> None:
        """Tell the registry that an upload will not go on; whether it listens does not matter."""
        try:
            self._client.request("DELETE", url, actions=_ACTIONS).drain_conn()
        except (Transient, RegistryFailed):
            pass

    def blocks(self, blob: Blob, begin: int, end: int) -> Iterator[bytes]:
        """The bytes of a blob from ``begin`` to ``end``, with progress."""
        pace = Pace(self._client.source.host)
        size = blob.descriptor["size"]
        with open(blob.path, "rb", buffering=0) as file:
            file.seek(begin)
            while begin < end and (block := file.read(min(_BLOCK_BYTES, end - begin))):
                self._crew.check()
                begin += len(block)
                if pace.step(len(block)):
                    self._crew.tell(Transfer(blob.name, "uploading", begin, size))
                yield block


class _Session:
    """One upload session: an address that changes with every answer."""

    def __init__(self, upload: Upload, blob: Blob, started: BaseHTTPResponse):
        self._upload = upload
        self._client = upload._client
        self._blob = blob
        self._url = _location(started, self._client.url("blobs/uploads/"))
        least = started.headers.get("OCI-Chunk-Min-Length", "")
        self._chunk_bytes = max(upload._chunk_bytes, int(least) if least.isdigit() else 0)

    def send_whole(self) -> None:
        """One PUT with everything."""
        size = self._blob.descriptor["size"]
        response = self._client.request(
            "PUT",
            self._final_url(),
            headers={"Content-Type": _OCTETS, "Content-Length": str(size)},
            body=lambda: self._upload.blocks(self._blob, 0, size),
            actions=_ACTIONS,
        )
        self._check_stored(response)

    def send_chunks(self) -> None:
        """One PATCH a chunk, going on where the registry says it is, and a PUT without content."""
        size = self._blob.descriptor["size"]
        offset, failures = 0, 0
        while offset < size:
            try:
                offset = self._send_chunk(offset, min(offset + self._chunk_bytes, size))
                failures = 0
            except Transient as failure:
                failures += 1
                self._client.http.pause(failure, failures, sleep=self._upload._crew.sleep)
                offset = self._ask_offset()
        response = self._client.request(
            "PUT",
            self._final_url(),
            headers={"Content-Type": _OCTETS, "Content-Length": "0"},
            body=_empty,
            actions=_ACTIONS,
        )
        self._check_stored(response)

    def _send_chunk(self, begin: int, end: int) -> int:
        response = self._client.request(
            "PATCH",
            self._url,
            headers={
                "Content-Type": _OCTETS,
                "Content-Length": str(end - begin),
                "Content-Range": f"{begin}-{end - 1}",
            },
            body=lambda: self._upload.blocks(self._blob, begin, end),
            actions=_ACTIONS,
        )
        if response.status == 416:
            response.drain_conn()
            return self._ask_offset()
        if response.status != 202:
            raise self._client.fail(response, f"a chunk of {self._blob.descriptor['digest']}")
        read_document(response, limit=1 << 20)
        self._url = _location(response, self._url)
        return _offset(response.headers.get("Range"), default=end)

    def _ask_offset(self) -> int:
        response = self._client.request("GET", self._url, actions=_ACTIONS)
        if response.status != 204:
            raise Transient(RegistryFailed(f"{self._client.source.host} forgot an upload"))
        response.drain_conn()
        self._url = _location(response, self._url)
        return _offset(response.headers.get("Range"), default=0)

    def _final_url(self) -> str:
        separator = "&" if "?" in self._url else "?"
        return f"{self._url}{separator}digest={quote(self._blob.descriptor['digest'])}"

    def _check_stored(self, response: BaseHTTPResponse) -> None:
        if response.status not in (201, 204):
            raise self._client.fail(
                response, f"blob {self._blob.descriptor['digest']} to be stored"
            )
        read_document(response, limit=1 << 20)


def _location(response: BaseHTTPResponse, url: str) -> str:
    location = response.headers.get("Location")
    return urljoin(url, location) if location else url


def _offset(value: str | None, *, default: int) -> int:
    """The next byte after ``Range: 0-b``; docker writes 0-0 where nothing has come."""
    last = (value or "").rpartition("=")[2].partition("-")[2]
    if not last.isdigit():
        return default
    return int(last) + 1 if int(last) else 0


def _empty() -> bytes:
    return b""


def file_blob(descriptor: Descriptor, path: str, mount_from: tuple[str, ...] = ()) -> Blob:
    """A blob whose file is checked to have its size: a damaged store is found before the registry does."""
    size = os.path.getsize(path)
    if size != descriptor["size"]:
        raise RegistryFailed(
            f"the stored blob {descriptor['digest']} has {size} bytes, not {descriptor['size']}",
            hint="rootless system check --repair",
        )
    return Blob(descriptor, path, mount_from)
