"""Carry connections and datagrams from sockets of the host to a container.  Runs in the relay's process.

One event loop, one buffer: a connection costs two descriptors and holds bytes only while its receiver
is slower than its sender.
"""

from __future__ import annotations

import select
import struct
import time
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SHUT_WR,
    SO_ERROR,
    SO_LINGER,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOL_SOCKET,
    TCP_NODELAY,
    socket,
)

from rootless.network.transparent import new_socket, seen_as
from rootless.typed import NamedTuple, Protocol

_BUFFER_BYTES = 256 << 10
_ROUNDS = 16  # how much one socket may do before others have their turn
_IDLE_S = 120.0  # after that long without a datagram a UDP exchange is over
_MOST_EXCHANGES = 4096
_DATAGRAM_BYTES = 65536
_ANCILLARY_BYTES = 128
# The numbers of these options are not in the socket module (ip(7), ipv6(7)).
IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50

_Client = tuple[str, int] | tuple[str, int, int, int]
_READ = select.EPOLLIN | select.EPOLLRDHUP


class Source(NamedTuple):
    """A bound socket of the host, and where in the container its traffic goes."""

    descriptor: int
    is_udp: bool
    address: str
    port: int
    gateway: str | None = None  # shows clients as themselves, or as this; None: as ourselves


class _Watcher(Protocol):
    def ready(self, fd: int, events: int) -> None: ...


class Loop:
    """Waits for all sockets at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, _Watcher] = {}
        self._masks: dict[int, int] = {}
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.exchanges: list[_Datagrams] = []

    def watch(self, fd: int, watcher: _Watcher, mask: int) -> None:
        """Wait for ``mask`` on ``fd``; nothing at all with 0, not even for its end."""
        current = self._masks.get(fd, 0)
        if mask == current:
            return
        if not mask:
            self._epoll.unregister(fd)
            del self._masks[fd], self._watchers[fd]
            return
        if current:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._masks[fd] = mask
        self._watchers[fd] = watcher

    def run(self) -> None:
        """Forever: the relay ends by a signal."""
        swept = time.monotonic()
        while True:
            for fd, events in self._epoll.poll(_IDLE_S / 4):
                watcher = self._watchers.get(fd)  # an earlier event may have closed it
                if watcher is not None:
                    watcher.ready(fd, events)
            now = time.monotonic()
            if now - swept > _IDLE_S / 4:
                swept = now
                for each in self.exchanges:
                    each.sweep(now)


def serve(sources: tuple[Source, ...]) -> None:
    """Carry everything that arrives at ``sources``; does not return."""
    loop = Loop()
    for source in sources:
        if source.is_udp:
            loop.exchanges.append(_Datagrams(loop, source))
        else:
            _Listener(loop, source)
    loop.run()


class _Listener:
    """Accepts connections and opens one into the container for each."""

    def __init__(self, loop: Loop, source: Source):
        self._loop = loop
        self._source = source
        self._socket = socket(fileno=source.descriptor)
        self._socket.setblocking(False)
        loop.watch(source.descriptor, self, select.EPOLLIN)

    def ready(self, fd: int, events: int) -> None:
        for _ in range(_ROUNDS):
            try:
                accepted, peer = self._socket._accept()  # type: ignore[attr-defined]  # of the C type
            except OSError:
                return  # nobody is waiting any more, or we are out of descriptors
            client = socket(fileno=accepted)
            client.setblocking(False)
            gateway = self._source.gateway
            try:
                inner = new_socket(None if gateway is None else seen_as(peer[0], gateway))
            except OSError:
                _reset(client)
                return
            inner.connect_ex((self._source.address, self._source.port))
            _Connection(self._loop, client, inner)


class _Connection:
    """Two sockets and what is under way between them."""

    def __init__(self, loop: Loop, client: socket, inner: socket):
        self._loop = loop
        self._client, self._inner = client, inner
        self._connecting = True
        self._pending: dict[socket, bytearray] = {client: bytearray(), inner: bytearray()}
        self._ended: set[socket] = set()  # sides that will send no more
        for side in (client, inner):
            side.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        loop.watch(inner.fileno(), self, select.EPOLLOUT)

    def ready(self, fd: int, events: int) -> None:
        side = self._client if fd == self._client.fileno() else self._inner
        if self._connecting or events & select.EPOLLERR:
            if side.getsockopt(SOL_SOCKET, SO_ERROR):
                self._abort()
                return
            self._connecting = False
        try:
            if events & select.EPOLLOUT:
                self._flush(side)
            if events & ~select.EPOLLOUT:
                self._carry(side)
        except OSError:
            self._abort()
            return
        self._update()

    def _other(self, side: socket) -> socket:
        return self._inner if side is self._client else self._client

    def _carry(self, source: socket) -> None:
        """Move what has arrived at one side to the other."""
        target, buffer = self._other(source), self._loop.buffer
        for _ in range(_ROUNDS):
            if self._pending[target] or source in self._ended:
                return
            try:
                count = source.recv_into(buffer)
            except BlockingIOError:
                return
            if not count:
                self._ended.add(source)
                self._flush(target)
                return
            sent = _send(target, buffer[:count])
            if sent < count:
                self._pending[target] += buffer[sent:count]

    def _flush(self, target: socket) -> None:
        """Send what could not be sent before, then pass the end of the stream on."""
        pending = self._pending[target]
        if pending:
            with memoryview(pending) as view:
                sent = _send(target, view)
            del pending[:sent]
        if not pending and self._other(target) in self._ended:
            target.shutdown(SHUT_WR)

    def _update(self) -> None:
        """Wait for what can go on now; close when nothing can."""
        if len(self._ended) == 2 and not any(self._pending.values()):
            self._close()
            return
        for side in (self._client, self._inner):
            mask = select.EPOLLOUT if self._pending[side] else 0
            if not self._pending[self._other(side)] and side not in self._ended:
                mask |= _READ
            self._loop.watch(side.fileno(), self, mask)

    def _abort(self) -> None:
        """One side was reset or never there: the other learns it the same way."""
        for side in (self._client, self._inner):
            _linger_not(side)
        self._close()

    def _close(self) -> None:
        for side in (self._client, self._inner):
            self._loop.watch(side.fileno(), self, 0)
            side.close()


def _send(target: socket, content: memoryview) -> int:
    try:
        return target.send(content)
    except BlockingIOError:
        return 0


def _linger_not(side: socket) -> None:
    side.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


def _reset(side: socket) -> None:
    _linger_not(side)
    side.close()


class _Exchange:
    """One client of a UDP port: a connected socket in the container, and how to answer."""

    def __init__(self, datagrams: _Datagrams, client: _Client, reply: list[tuple[int, int, bytes]]):
        source = datagrams.source
        self._datagrams = datagrams
        self.client = client
        self._reply = reply
        self.inner = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        self.inner.connect((source.address, source.port))
        self.used = time.monotonic()
        datagrams.loop.watch(self.inner.fileno(), self, select.EPOLLIN)

    def send(self, content: memoryview) -> None:
        self.used = time.monotonic()
        try:
            self.inner.send(content)
        except OSError:
            pass  # nobody listens, or the queue is full: a datagram may be lost

    def ready(self, fd: int, events: int) -> None:
        buffer = self._datagrams.loop.buffer
        for _ in range(_ROUNDS):
            try:
                count = self.inner.recv_into(buffer, _DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error that an earlier datagram got
            self.used = time.monotonic()
            try:
                self._datagrams.socket.sendmsg([buffer[:count]], self._reply, 0, self.client)
            except OSError:
                pass

    def close(self) -> None:
        self._datagrams.loop.watch(self.inner.fileno(), self, 0)
        self.inner.close()


class _Datagrams:
    """One UDP port of the host and its clients."""

    def __init__(self, loop: Loop, source: Source):
        self.loop = loop
        self.source = source
        self.socket = socket(fileno=source.descriptor)
        self.socket.setblocking(False)
        self._exchanges: dict[tuple[_Client, bytes], _Exchange] = {}
        if self.socket.family == AF_INET6:
            self.socket.setsockopt(41, IPV6_RECVPKTINFO, 1)
        else:
            self.socket.setsockopt(0, IP_PKTINFO, 1)
        loop.watch(source.descriptor, self, select.EPOLLIN)

    def ready(self, fd: int, events: int) -> None:
        buffer = self.loop.buffer
        for _ in range(_ROUNDS):
            try:
                count, ancillary, _, client = self.socket.recvmsg_into([buffer], _ANCILLARY_BYTES)
            except OSError:
                return
            reply = [each for each in map(_answer_from, ancillary) if each is not None]
            exchange = self._exchange(client, reply)
            if exchange is not None:
                exchange.send(buffer[:count])

    def _exchange(self, client: _Client, reply: list[tuple[int, int, bytes]]) -> _Exchange | None:
        key = (client, reply[0][2] if reply else b"")
        found = self._exchanges.get(key)
        if found is None:
            if len(self._exchanges) >= _MOST_EXCHANGES:
                self._forget(min(self._exchanges, key=lambda each: self._exchanges[each].used))
            try:
                found = self._exchanges[key] = _Exchange(self, client, reply)
            except OSError:
                return None
        return found

    def sweep(self, now: float) -> None:
        """Forget the clients that have been silent."""
        for key in [key for key, each in self._exchanges.items() if now - each.used > _IDLE_S]:
            self._forget(key)

    def _forget(self, key: tuple[_Client, bytes]) -> None:
        self._exchanges.pop(key).close()


def _answer_from(message: tuple[int, int, bytes]) -> tuple[int, int, bytes] | None:
    """The control message that makes an answer come from the address that was asked."""
    level, kind, content = message
    if (level, kind) == (0, IP_PKTINFO):  # struct in_pktinfo: index, local address, destination
        _, _, address = struct.unpack("i4s4s", content[:12])
        return level, kind, struct.pack("i4s4s", 0, address, bytes(4))
    if (level, kind) == (41, IPV6_PKTINFO):  # struct in6_pktinfo: address, index
        address, index = struct.unpack("16si", content[:20])
        is_link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
        return level, kind, struct.pack("16si", address, index if is_link_local else 0)
    return None


def raise_descriptor_limit() -> None:
    """Two descriptors a connection: take what the hard limit gives, within reason."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard if hard >= 0 else 1 << 16, 1 << 16)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
