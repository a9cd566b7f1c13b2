"""A proxy in front of a real registry that does what registries do wrong, once or always.

Each ``Fault`` says which requests it meets and how often; everything else passes through unchanged and
every request is written down, so a test can also ask what was (not) sent.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from http.client import HTTPResponse

_HOP = ("transfer-encoding", "connection", "content-length")


class Fault:
    """What goes wrong with requests whose path contains ``path``, ``times`` times.

    One of: ``status`` (with ``headers`` and ``body``), ``reset`` (no answer), ``cut_after`` (bytes of the
    body, then the connection breaks), ``extra_length`` (announce that many bytes more), ``flip`` (change a
    byte), ``body`` alone (another content), ``drip_s`` (pause before each 16 bytes), ``drip_head_s`` (before
    each byte of endless headers), ``no_range`` (200 for a Range), ``headers`` alone (replaced or added).
    """

    def __init__(
        self,
        path: str,
        *,
        times: int = 1_000_000,
        method: str = "GET",
        status: int = 0,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        reset: bool = False,
        cut_after: int | None = None,
        extra_length: int = 0,
        flip: bool = False,
        drip_s: float = 0.0,
        drip_head_s: float = 0.0,
        no_range: bool = False,
    ):
        self.path = path
        self.method = method
        self.times = times
        self.status = status
        self.headers = headers or {}
        self.body = body
        self.reset = reset
        self.cut_after = cut_after
        self.extra_length = extra_length
        self.flip = flip
        self.drip_s = drip_s
        self.drip_head_s = drip_head_s
        self.no_range = no_range


class Request(NamedTuple):
    """A request that came, with the status that was answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


class FaultyProxy:
    """Listens on a loopback port of its own; ``upstream`` is ``host:port`` of the registry."""

    def __init__(self, upstream: str, *faults: Fault):
        self.upstream = upstream
        self.faults = list(faults)
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def _any(self) -> None:
                proxy._serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """The requests so far whose path contains ``path``."""
        return [each for each in self.requests if path in each.path and each.method == method]

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.path in path and fault.method == method and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        sent = handler.rfile.read(length) if length else b""
        fault = self._fault(handler.command, handler.path)
        if fault is not None and fault.reset:
            self._note(handler, 0)
            _reset(handler)
            return
        if fault is not None and fault.drip_head_s:
            self._note(handler, 0)
            _drip_head(handler, fault.drip_head_s)
            return
        if fault is not None and fault.status:
            self._note(handler, fault.status)
            _answer(handler, fault.status, fault.headers, fault.body or b"")
            return
        status, headers, body = self._ask(
            handler, sent, without_range=bool(fault and fault.no_range)
        )
        self._note(handler, status)
        if fault is None:
            _answer(handler, status, headers, body, head_length=headers.get("Content-Length"))
            return
        _spoil(handler, fault, status, {**headers, **fault.headers}, body)

    def _note(self, handler: BaseHTTPRequestHandler, status: int) -> None:
        self.requests.append(
            Request(handler.command, handler.path, dict(handler.headers.items()), status)
        )

    def _ask(
        self, handler: BaseHTTPRequestHandler, sent: bytes, *, without_range: bool
    ) -> tuple[int, dict[str, str], bytes]:
        host, _, port = self.upstream.partition(":")
        connection = HTTPConnection(host, int(port), timeout=30)
        headers = {
            key: value
            for key, value in handler.headers.items()
            if key.lower() not in ("host", *(("range",) if without_range else ()))
        }
        # The registry writes addresses with the host that it was asked by: ours.
        headers["Host"] = self.address
        try:
            connection.request(handler.command, handler.path, body=sent or None, headers=headers)
            response: HTTPResponse = connection.getresponse()
            body = response.read()
            return response.status, dict(response.getheaders()), body
        finally:
            connection.close()


def _answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    body: bytes,
    *,
    head_length: str | None = None,
) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        if key.lower() not in _HOP:
            handler.send_header(key, value)
    is_head = handler.command == "HEAD"
    if status != 204:
        handler.send_header(
            "Content-Length", head_length if is_head and head_length else str(len(body))
        )
    handler.end_headers()
    if not is_head:
        try:
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True


def _spoil(
    handler: BaseHTTPRequestHandler,
    fault: Fault,
    status: int,
    headers: dict[str, str],
    body: bytes,
) -> None:
    if fault.body is not None:
        body = fault.body
    if fault.flip and body:
        body = body[:-1] + bytes([body[-1] ^ 1])
    handler.send_response(status)
    for key, value in headers.items():
        if key.lower() not in _HOP:
            handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body) + fault.extra_length))
    handler.end_headers()
    handler.close_connection = True
    try:
        if fault.drip_s:
            for begin in range(0, len(body), 16):
                handler.wfile.write(body[begin : begin + 16])
                time.sleep(fault.drip_s)
        elif fault.cut_after is not None:
            handler.wfile.write(body[: fault.cut_after])
            handler.wfile.flush()
        else:
            handler.wfile.write(body)
    except OSError:
        pass  # the client had enough


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Close so that the peer gets RST, which the kernel sends when the handler lets go of its files too."""
    connection = handler.connection
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    handler.close_connection = True


def _drip_head(handler: BaseHTTPRequestHandler, pause_s: float) -> None:
    """Headers without an end, a byte at a time."""
    handler.close_connection = True
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(pause_s)
    except OSError:
        pass  # the client had enough
