"""Connections whose answers must begin within a minute, however a server drips its headers.

A timeout of a read ends only a server that sends nothing: one that sends a byte now and then (a slow
loris) would keep us for ever.  Bodies have their own limits (``http.read_document``, ``crew.Pace``).
"""

from __future__ import annotations

import contextlib
import socket
import threading

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

_ANSWER_DEADLINE_S = 60.0


class _Patience:
    """Gives up on a connection: the read that waits on its socket ends then."""

    def __init__(self, connection: HTTPConnection):
        self.is_over = False
        self._socket = connection.sock
        self._timer = threading.Timer(_ANSWER_DEADLINE_S, self._give_up)
        self._timer.daemon = True

    def __enter__(self) -> _Patience:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _give_up(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Of the socket below TLS: unwrapping it would wait for the peer.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as the parent in urllib3 has it
        with _Patience(self) as patience:
            response = super().getresponse()
        return _checked(response, patience)


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as above
        with _Patience(self) as patience:
            response = super().getresponse()
        return _checked(response, patience)


def _checked(response: HTTPResponse, patience: _Patience) -> HTTPResponse:
    """Half an answer that our own end of patience cut off is none."""
    if patience.is_over:
        raise TimeoutError("timed out")
    return response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def pool_manager(proxy: str | None, options: dict[str, Any]) -> PoolManager:
    """A manager of such connections, through a proxy if there is one."""
    manager = ProxyManager(proxy, **options) if proxy else PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager
