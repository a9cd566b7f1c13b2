"""One repository of a registry: manifests, blobs and tags (OCI distribution-spec)."""

from __future__ import annotations

from urllib.parse import urlencode, urljoin, urlsplit

from rootless.errors import (
    ImageRefused,
    NotFound,
    RegistryDenied,
    RegistryFailed,
    Unsupported,
)
from rootless.events import Notice, ignore
from rootless.image.digest import Digest, digest_of, parse_digest
from rootless.image.documents import (
    DOCUMENT_LIMIT,
    INDEXES,
    MANIFESTS,
    ImageIndex,
    Manifest,
    parse_document,
)
from rootless.registry.auth import Authorizer
from rootless.registry.config import HUB_HOST
from rootless.registry.http import Http, Retry, Tls, failure_words, read_document
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse

    from rootless.events import Report
    from rootless.image.documents import Descriptor
    from rootless.registry.config import Source
    from rootless.registry.credentials import Credential
    from rootless.registry.http import Body

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
_AUTH_ROUNDS = 4
_TOKEN_LIMIT = 1 << 20
_PAGE_LIMIT = 1000
# What servers say that do not know what they serve; the document itself must tell.
_UNSPECIFIC = ("", "application/json", "application/octet-stream", "text/plain")


class Fetched(NamedTuple):
    """A manifest or index as it came, checked: its bytes, what they are, and their digest."""

    content: bytes
    document: Manifest | ImageIndex
    descriptor: Descriptor


class Client:
    """One repository.  Threads may share it."""

    def __init__(
        self,
        source: Source,
        *,
        credential: Credential | None = None,
        tls: Tls | None = None,
        retry: Retry | None = None,
        report: Report = ignore,
    ):
        self.source = source
        self.http = Http(source, tls, retry)
        self._report = report
        self._authorizer = Authorizer(source, credential, send=self._send_for_token, report=report)
        self._warned: set[str] = set()

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    # -- requests ------------------------------------------------------------------------------

    def url(self, path: str) -> str:
        """The address of ``/v2/<repository>/<path>``."""
        return f"{self.http.base}/v2/{self.source.repository}/{path}"

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        actions: str = "pull",
        scopes: frozenset[str] | None = None,
    ) -> BaseHTTPResponse:
        """Make a request with whatever authorization the registry wants; the body is not read.

        Raises Transient for what may pass.  A 401 or 403 that stays is RegistryDenied.
        """
        if scopes is None:
            scopes = frozenset({f"repository:{self.source.repository}:{actions}"})
        for _ in range(_AUTH_ROUNDS):
            used = self._authorizer.header(scopes)
            sent = {**(headers or {}), **({"Authorization": used} if used else {})}
            response, own = self.http.request(method, url, headers=sent, body=body)
            self._show_warnings(response)
            challenge = response.headers.get("WWW-Authenticate", "")
            # A challenge of a host that the registry redirected to is not the registry's.
            if not own or response.status != 401 or not challenge:
                return self._allowed(response)
            response.drain_conn()
            self._authorizer.answer(challenge, scopes, used=used)
        raise RegistryDenied(
            f"{self.source.host} asks for credentials again and again",
            hint=f"rootless login {self.source.host}",
        )

    def _allowed(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        if response.status not in (401, 403):
            return response
        words = failure_words(response, read_document(response, limit=64 << 10))
        raise RegistryDenied(
            f"{self.source.name} is denied: {urlsplit(response.url or '').netloc} {words}",
            hint=f"rootless login {self.source.host}",
        )

    def _send_for_token(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """What the Authorizer asks token servers with; an own client, for another host."""
        parts = urlsplit(url)
        http = Http(
            self.source._replace(host=parts.netloc, repository=""),
            self.http.tls,
            self.http.retry,
        )

        def attempt() -> tuple[int, bytes]:
            response, _ = http.request(method, url, headers=headers, body=_constant(body))
            return response.status, read_document(response, limit=_TOKEN_LIMIT)

        try:
            return self.http.repeat(attempt)
        finally:
            http.close()

    def _show_warnings(self, response: BaseHTTPResponse) -> None:
        """``Warning: 299 - "text"`` is for the user, once."""
        for value in response.headers.getlist("Warning"):
            if value.startswith("299 ") and value not in self._warned:
                self._warned.add(value)
                text = value[4:].partition('"')[2].rpartition('"')[0] or value[4:]
                shown = "".join(each if each.isprintable() else "?" for each in text[:300])
                self._report(Notice(f"{self.source.host} says: {shown}", "warning"))

    def fail(self, response: BaseHTTPResponse, what: str) -> RegistryFailed | NotFound:
        """The error for an answer that nobody expects."""
        words = failure_words(response, read_document(response, limit=64 << 10))
        if response.status == 404:
            return NotFound(
                f"no {what} at {self.source.host}",
                hint=f"rootless search --list-tags {self.source.name} shows what there is",
            )
        return RegistryFailed(f"{self.source.host} {words} when asked for {what}")

    def ping(self) -> None:
        """Check that the registry answers and takes the credentials."""

        def attempt() -> None:
            url = f"{self.http.base}/v2/"
            response = self.request("GET", url, scopes=frozenset())
            if response.status != 200:
                raise self.fail(response, "API version 2")
            read_document(response, limit=1 << 20)

        self.http.repeat(attempt)

    # -- manifests -----------------------------------------------------------------------------

    def manifest(self, target: str) -> Fetched:
        """A manifest or index by tag or digest, checked against the digest and its own media type."""
        what = f"image {_join(self.source.name, target)}"

        def attempt() -> Fetched:
            response = self.request(
                "GET", self.url(f"manifests/{target}"), headers={"Accept": ACCEPT}
            )
            if response.status != 200:
                raise self.fail(response, what)
            media_type = _media_type(response)
            announced = response.headers.get("Docker-Content-Digest", "")
            content = read_document(response, limit=DOCUMENT_LIMIT)
            return check_fetched(
                content, media_type=media_type, target=target, announced=announced, name=what
            )

        return self.http.repeat(attempt)

    def manifest_digest(self, target: str) -> Digest | None:
        """The digest that a tag has now, without fetching it; None where the registry does not tell."""

        def attempt() -> Digest | None:
            url = self.url(f"manifests/{target}")
            response = self.request("HEAD", url, headers={"Accept": ACCEPT})
            response.drain_conn()
            if response.status == 404:
                raise self.fail(response, f"image {_join(self.source.name, target)}")
            announced = response.headers.get("Docker-Content-Digest")
            return parse_digest(announced) if response.status == 200 and announced else None

        return self.http.repeat(attempt)

    def put_manifest(self, target: str, content: bytes, media_type: str) -> None:
        """Store a manifest or index under a tag or its digest."""

        def attempt() -> None:
            response = self.request(
                "PUT",
                self.url(f"manifests/{target}"),
                headers={"Content-Type": media_type},
                body=lambda: content,
                actions="pull,push",
            )
            if response.status not in (200, 201, 202):
                raise self.fail(response, f"the manifest {target} to be stored")
            read_document(response, limit=1 << 20)

        self.http.repeat(attempt)

    # -- blobs ---------------------------------------------------------------------------------

    def blob(self, digest: Digest, *, offset: int = 0) -> tuple[BaseHTTPResponse, int]:
        """Begin to read a blob at ``offset``; returns the answer and where it really begins.

        Raises Transient for what may pass.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self.request("GET", self.url(f"blobs/{digest}"), headers=headers)
        if response.status == 206 and offset:
            begin = (
                response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
            )
            if begin != str(offset):
                response.close()
                raise RegistryFailed(
                    f"{self.source.host} sends another part of {digest} than asked"
                )
            return response, offset
        if response.status == 416 and offset:
            # Nothing is left to send, or it does not do ranges: from the beginning then.
            response.drain_conn()
            return self.blob(digest)
        if response.status != 200:
            raise self.fail(response, f"blob {digest} of {self.source.name}")
        return response, 0

    def small_blob(self, descriptor: Descriptor) -> bytes:
        """A blob of at most 4 MiB, checked; a larger one is refused before it is fetched."""
        digest, size = descriptor["digest"], descriptor["size"]
        if size > DOCUMENT_LIMIT:
            raise ImageRefused(f"config {digest} claims {size} bytes; {DOCUMENT_LIMIT} are allowed")

        def attempt() -> bytes:
            response, _ = self.blob(digest)
            return read_document(response, limit=DOCUMENT_LIMIT)

        return self.http.repeat(attempt)

    def has_blob(self, digest: str) -> bool:
        """Whether the registry has the blob in this repository."""

        def attempt() -> bool:
            response = self.request("HEAD", self.url(f"blobs/{digest}"), actions="pull,push")
            response.drain_conn()
            if response.status not in (200, 404):
                raise self.fail(response, f"blob {digest}")
            return response.status == 200

        return self.http.repeat(attempt)

    # -- lists ---------------------------------------------------------------------------------

    def tags(self, *, limit: int = 100_000) -> tuple[str, ...]:
        """The tags of the repository, in the registry's order."""
        return tuple(self._pages(self.url("tags/list?n=1000"), key="tags", limit=limit))

    def catalog(self, *, limit: int = 100_000) -> tuple[str, ...]:
        """The repositories of the registry, where it tells."""
        scopes = frozenset({"registry:catalog:*"})
        url = f"{self.http.base}/v2/_catalog?n=1000"
        return tuple(self._pages(url, key="repositories", limit=limit, scopes=scopes))

    def search(self, term: str, *, limit: int) -> list[dict[str, Any]] | None:
        """Docker's search of version 1; None where the registry has none."""
        query = urlencode({"q": term, "n": limit})
        host = "https://index.docker.io" if self.source.host == HUB_HOST else self.http.base
        document = self._json(f"{host}/v1/search?{query}", frozenset())
        results = document.get("results") if document else None
        return [each for each in results if isinstance(each, dict)] if results is not None else None

    def _pages(
        self, url: str, *, key: str, limit: int, scopes: frozenset[str] | None = None
    ) -> list[str]:
        found: list[str] = []
        for _ in range(_PAGE_LIMIT):
            response, document = self._page(url, scopes)
            names = document.get(key)
            found += [each for each in names or () if isinstance(each, str) and each.isprintable()]
            following = _next_link(response.headers.get("Link", ""))
            if not following or len(found) >= limit:
                break
            target = urljoin(url, following)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise RegistryFailed(f"{self.source.host} continues its list at another host")
            url = target
        return found[:limit]

    def _page(
        self, url: str, scopes: frozenset[str] | None
    ) -> tuple[BaseHTTPResponse, dict[str, Any]]:
        def attempt() -> tuple[BaseHTTPResponse, dict[str, Any]]:
            response = self.request("GET", url, scopes=scopes)
            if response.status != 200:
                raise self.fail(response, f"list of {self.source.name.rstrip('/')}")
            content = read_document(response, limit=2 * DOCUMENT_LIMIT)
            return response, _object(content, self.source.host)

        return self.http.repeat(attempt)

    def _json(self, url: str, scopes: frozenset[str]) -> dict[str, Any] | None:
        def attempt() -> dict[str, Any] | None:
            response = self.request("GET", url, scopes=scopes)
            content = read_document(response, limit=2 * DOCUMENT_LIMIT)
            return _object(content, self.source.host) if response.status == 200 else None

        return self.http.repeat(attempt)


def check_fetched(
    content: bytes, *, media_type: str, target: str, announced: str, name: str
) -> Fetched:
    """Check a manifest against what was asked for and what the registry says it is."""
    if media_type.startswith("application/vnd.docker.distribution.manifest.v1"):
        raise Unsupported(
            f"{name} is of docker's old schema 1, which lists no digests of its layers"
        )
    digest = digest_of(content)
    if target.partition(":")[2]:
        wanted = parse_digest(target)
        digest = digest_of(content, wanted.partition(":")[0])
        if digest != wanted:
            raise ImageRefused(f"{name} has the digest {digest}")
    elif announced and digest_of(content, parse_digest(announced).partition(":")[0]) != announced:
        raise ImageRefused(f"{name} has the digest {digest}, not {announced} as the registry says")
    claim = "" if media_type in _UNSPECIFIC else media_type
    document = parse_document(content, media_type=claim, name=name)
    kinds = INDEXES if "manifests" in document else MANIFESTS
    return Fetched(
        content,
        document,
        {
            "mediaType": claim or document.get("mediaType") or kinds[0],
            "digest": digest,
            "size": len(content),
        },
    )


def _media_type(response: BaseHTTPResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _join(name: str, target: str) -> str:
    return f"{name}@{target}" if ":" in target else f"{name}:{target}"


def _constant(body: bytes | None) -> Body | None:
    return None if body is None else lambda: body


def _next_link(header: str) -> str | None:
    for part in header.split(","):
        address, _, parameters = part.strip().partition(";")
        if 'rel="next"' in parameters.replace(" ", "") or "rel=next" in parameters:
            return address.strip().removeprefix("<").removesuffix(">")
    return None


def _object(content: bytes, host: str) -> dict[str, Any]:
    import json

    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RegistryFailed(f"{host} answered with something that is not a JSON object")
    return document
