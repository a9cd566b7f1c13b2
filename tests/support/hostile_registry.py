"""A registry on loopback that answers what a test says and remembers what it was asked.

``host`` is 127.0.0.1 or another address of the loopback network, which counts as another host.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Body = bytes | Callable[[], Iterator[bytes]]


class Answer(NamedTuple):
    """One response; ``length`` is announced instead of the body's own where it is given."""

    body: Body = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


class Request(NamedTuple):
    """What the registry was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class HostileRegistry:
    """Serves ``answers`` by path; ``authorization`` is demanded with this challenge where it is set."""

    def __init__(self, host: str = "127.0.0.1"):
        self.answers: dict[str, Answer] = {"/v2/": Answer(b"{}")}
        self.requests: list[Request] = []
        self.challenge: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.requests.append(Request(handler.command, path, dict(handler.headers.items()), body))
        answer = self.answers.get(path.partition("?")[0], Answer(b"{}", 404))
        if self.challenge and path.startswith("/v2/") and "Authorization" not in handler.headers:
            answer = Answer(b"{}", 401, (("WWW-Authenticate", self.challenge),))
        chunks = iter((answer.body,)) if isinstance(answer.body, bytes) else answer.body()
        length = answer.length
        if length is None and isinstance(answer.body, bytes):
            length = len(answer.body)
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.close_connection = True
        handler.end_headers()
        if handler.command != "HEAD":
            try:
                for chunk in chunks:
                    handler.wfile.write(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client has had enough, as it should

    def image(
        self,
        name: str,
        *layers: bytes,
        manifest_changes: oci.Document | None = None,
        config: bytes | None = None,
        media_type: str = oci.MANIFEST,
    ) -> oci.Document:
        """Offer an image under ``name:latest``; its manifest, so that parts can be replaced."""
        configuration = config or oci.encode(
            {
                "architecture": oci.host_architecture(),
                "os": "linux",
                "config": {"Cmd": ["true"]},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [oci.digest_of(layer) for layer in layers],
                },
            }
        )
        manifest: oci.Document = {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": self.blob(name, configuration, oci.CONFIG),
            "layers": [self.blob(name, layer, oci.LAYER) for layer in layers],
            **(manifest_changes or {}),
        }
        self.manifest(name, oci.encode(manifest), media_type)
        return manifest

    def blob(self, name: str, content: bytes, media_type: str) -> oci.Document:
        """Offer a blob; its descriptor."""
        digest = oci.digest_of(content)
        self.answers[f"/v2/{name}/blobs/{digest}"] = Answer(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def manifest(self, name: str, content: bytes, media_type: str, tag: str = "latest") -> None:
        """Offer a document under a tag and its digest."""
        headers = (("Content-Type", media_type), ("Docker-Content-Digest", oci.digest_of(content)))
        for reference in (tag, oci.digest_of(content)):
            self.answers[f"/v2/{name}/manifests/{reference}"] = Answer(content, headers=headers)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
