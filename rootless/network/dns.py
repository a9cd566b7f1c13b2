"""The resolver of user networks: listens on every bridge, answers for containers, asks others for the rest.  KEEPER."""

from __future__ import annotations

from _socket import socket

from rootless.network import resolver
from rootless.network.upstream import Pending, Upstream, ask_by_tcp, receive_framed
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.members import Members
    from rootless.network.records import NetworkRecord

_MESSAGE_BYTES = 4096
_PLAIN_BYTES = 512  # what a client takes over UDP that has not said otherwise (RFC 1035)
_ROUNDS = 32
_MOST_THREADS = 32
_CLIENT_TIMEOUT_S = 5.0


class Dns:
    """All listening sockets and their answers."""

    def __init__(
        self,
        members: Members,
        watch: Callable[[int, Any], None],
        unwatch: Callable[[int], None],
    ):
        self._members = members
        self._watch = watch
        self._unwatch = unwatch
        self._sockets: dict[str, list[socket]] = {}
        self._threads = 0
        self.upstream = Upstream(watch, unwatch)

    def open(self, record: NetworkRecord, fds: list[int]) -> None:
        """Answer on these sockets of a network's bridge: UDP and TCP by turns."""
        made = []
        for number, fd in enumerate(fds):
            endpoint = socket(fileno=fd)
            endpoint.setblocking(False)
            made.append(endpoint)
            serve = self._serve_stream if number % 2 else self._serve_datagrams
            self._watch(fd, self._bound(serve, record, endpoint))
        self._sockets[record["name"]] = made

    @staticmethod
    def _bound(
        serve: Callable[[NetworkRecord, socket], None], record: NetworkRecord, endpoint: socket
    ) -> Callable[[], None]:
        return lambda: serve(record, endpoint)

    def close(self, network: str) -> None:
        for endpoint in self._sockets.pop(network, []):
            self._unwatch(endpoint.fileno())
            endpoint.close()

    def _serve_datagrams(self, record: NetworkRecord, endpoint: socket) -> None:
        for _ in range(_ROUNDS):
            try:
                message, client = endpoint.recvfrom(_MESSAGE_BYTES)
            except OSError:
                return

            def reply(content: bytes, client: Any = client, limit: int = _limit(message)) -> None:
                try:
                    endpoint.sendto(
                        content if len(content) <= limit else resolver.truncated(content), client
                    )
                except OSError:
                    pass  # the container is gone

            question = resolver.parse_question(message)
            if question is None:
                continue
            own = self._own_answer(question, client[0], record)
            if own is not None:
                reply(own)
            else:
                servers = self._servers(client[0], record)
                self.upstream.ask(Pending(message, question, servers, reply))

    def _own_answer(
        self, question: resolver.Question, asker: str, record: NetworkRecord
    ) -> bytes | None:
        network = record["name"]
        return resolver.own_answer(
            question,
            addresses=lambda name: self._members.addresses(asker, network, name),
            name_of=lambda name: self._members.name_of(asker, network, name),
        ) or self._refusal(question, asker, record)

    def _refusal(
        self, question: resolver.Question, asker: str, record: NetworkRecord
    ) -> bytes | None:
        """A container that is on internal networks only gets no answer from outside."""
        member = self._members.asking(asker, record["name"])
        if member is None:
            return resolver.answer(question, (), code=resolver.REFUSED)
        if not member.outside:
            return resolver.answer(question, (), code=resolver.NAME_ERROR)
        return None

    def _servers(self, asker: str, record: NetworkRecord) -> tuple[str, ...]:
        member = self._members.asking(asker, record["name"])
        return (member.resolvers if member else ()) or self.upstream.host.get()

    def _serve_stream(self, record: NetworkRecord, endpoint: socket) -> None:
        """A question over TCP is rare: each has a thread, and a bound."""
        import threading

        try:
            fd, client = endpoint._accept()  # type: ignore[attr-defined]  # of the C type
        except OSError:
            return
        peer = socket(fileno=fd)
        if self._threads >= _MOST_THREADS:
            peer.close()
            return
        self._threads += 1
        threading.Thread(target=self._converse, args=(record, peer, client[0]), daemon=True).start()

    def _converse(self, record: NetworkRecord, peer: socket, asker: str) -> None:
        try:
            peer.settimeout(_CLIENT_TIMEOUT_S)
            while message := receive_framed(peer):
                question = resolver.parse_question(message)
                if question is None:
                    return
                content = self._own_answer(question, asker, record) or ask_by_tcp(
                    message, self._servers(asker, record)
                )
                if content is None:
                    content = resolver.answer(question, (), code=resolver.SERVER_FAILURE)
                peer.sendall(len(content).to_bytes(2, "big") + content)
        except OSError:
            pass  # the container is gone, or silent
        finally:
            peer.close()
            self._threads -= 1


def _limit(message: bytes) -> int:
    """How much the client takes over UDP: 512 bytes, or what its OPT record says (RFC 6891).

    The record is the last thing in a query: root name, type 41, size.
    """
    position = message.rfind(b"\0\0\x29")
    if int.from_bytes(message[10:12], "big") and position >= 0 and position + 5 <= len(message):
        return max(_PLAIN_BYTES, int.from_bytes(message[position + 3 : position + 5], "big"))
    return _PLAIN_BYTES
