"""A web server on loopback with files of a test: validators, conditional requests, and a list of what was asked."""

from __future__ import annotations

import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Page(NamedTuple):
    """What is served under a path; ``modified`` is in seconds since the epoch."""

    content: bytes
    modified: int | None = None
    etag: str = ""


class Web:
    """Serves ``pages``, by path; ``log`` has ``path status`` of every request."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.log: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = web.pages.get(self.path)
                status = 404 if page is None else 200
                if page is not None and _is_known(page, self.headers):
                    status = 304
                web.log.append(f"{self.path} {status}")
                self.send_response(status)
                if page is not None and page.modified is not None:
                    self.send_header("Last-Modified", formatdate(page.modified, usegmt=True))
                if page is not None and page.etag:
                    self.send_header("ETag", page.etag)
                content = page.content if page is not None and status == 200 else b""
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _is_known(page: Page, headers) -> bool:  # type: ignore[no-untyped-def]
    if page.etag:
        return headers.get("If-None-Match") == page.etag
    since = headers.get("If-Modified-Since")
    return page.modified is not None and since == formatdate(page.modified, usegmt=True)
