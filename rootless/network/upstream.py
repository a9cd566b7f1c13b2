"""Passing DNS questions on to the resolvers of the host, or to those a container was given.  KEEPER."""

from __future__ import annotations

import os
import time
from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, socket

from rootless.network.names import parse_resolver
from rootless.network.resolver import SERVER_FAILURE, answer
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.resolver import Question

_RESOLV_CONF = "/etc/resolv.conf"
_PORT = 53
_TRY_S = 2.0
_MOST_PENDING = 1024
_MESSAGE_BYTES = 65535


class HostResolvers:
    """The host's name servers; the file is read again when it changes, as when a VPN comes up."""

    def __init__(self) -> None:
        self._stamp: tuple[int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def get(self) -> tuple[str, ...]:
        try:
            status = os.stat(_RESOLV_CONF)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                with open(_RESOLV_CONF, encoding="utf-8", errors="replace") as file:
                    self._servers = parse_resolver(file.read()).nameservers
                self._stamp = stamp
        except OSError:
            self._servers = ()
        return self._servers


class Pending:
    """One question under way: its servers are tried one after the other."""

    def __init__(
        self,
        message: bytes,
        question: Question,
        servers: tuple[str, ...],
        reply: Callable[[bytes], None],
    ):
        self._message = message
        self._question = question
        self._servers = list(servers)
        self._reply = reply
        self._endpoint: socket | None = None
        self.deadline = 0.0

    def try_next(self) -> int:
        """Ask the next server; the descriptor to wait for, or -1 when all have failed (and that was said)."""
        self.close()
        while self._servers:
            server = self._servers.pop(0)
            endpoint = socket(_family(server), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
            try:
                endpoint.connect((server, _PORT))  # a port of its own, and answers from nobody else
                endpoint.send(self._message)
            except OSError:
                endpoint.close()
                continue
            self._endpoint = endpoint
            self.deadline = time.monotonic() + _TRY_S
            return endpoint.fileno()
        self._reply(answer(self._question, (), code=SERVER_FAILURE))
        return -1

    def is_answered(self) -> bool:
        """Read what came; False when it was no answer to this question."""
        assert self._endpoint is not None
        try:
            content = self._endpoint.recv(_MESSAGE_BYTES)
        except OSError:
            return False
        if content[:2] != self._message[:2] or not content[2] & 0x80:
            return False
        self._reply(content)
        return True

    def close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None


class Upstream:
    """All questions under way."""

    def __init__(self, watch: Callable[[int, Any], None], unwatch: Callable[[int], None]):
        self._watch = watch
        self._unwatch = unwatch
        self._pending: dict[int, Pending] = {}
        self.host = HostResolvers()

    def ask(self, pending: Pending) -> None:
        """Send it on; dropped when far too many wait, and the client will ask again."""
        if len(self._pending) < _MOST_PENDING:
            self._go_on(pending)

    def _go_on(self, pending: Pending) -> None:
        fd = pending.try_next()
        if fd >= 0:
            self._pending[fd] = pending
            self._watch(fd, lambda: self._arrived(fd))

    def _arrived(self, fd: int) -> None:
        pending = self._forget(fd)
        if pending.is_answered():
            pending.close()
        else:
            self._go_on(pending)

    def _forget(self, fd: int) -> Pending:
        self._unwatch(fd)
        return self._pending.pop(fd)

    def sweep(self) -> None:
        """Try the next server for questions that wait too long."""
        now = time.monotonic()
        for fd in [fd for fd, each in self._pending.items() if each.deadline < now]:
            self._go_on(self._forget(fd))

    @property
    def is_waiting(self) -> bool:
        return bool(self._pending)


def ask_by_tcp(message: bytes, servers: tuple[str, ...]) -> bytes | None:
    """The answer of the first server that gives one over TCP.  Blocks: for a thread."""
    for server in servers:
        endpoint = socket(_family(server), SOCK_STREAM | SOCK_CLOEXEC)
        endpoint.settimeout(_TRY_S)
        try:
            endpoint.connect((server, _PORT))
            endpoint.sendall(len(message).to_bytes(2, "big") + message)
            return receive_framed(endpoint)
        except OSError:
            continue
        finally:
            endpoint.close()
    return None


def receive_framed(endpoint: socket) -> bytes | None:
    """One message of DNS over TCP: two bytes of length, then the message."""
    header = _receive_exactly(endpoint, 2)
    return _receive_exactly(endpoint, int.from_bytes(header, "big")) if header else None


def _receive_exactly(endpoint: socket, size: int) -> bytes | None:
    content = b""
    while len(content) < size:
        chunk = endpoint.recv(size - len(content))
        if not chunk:
            return None
        content += chunk
    return content


def _family(server: str) -> int:
    return AF_INET6 if ":" in server else AF_INET
