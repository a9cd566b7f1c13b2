"""MONITOR: those who are attached to a container - what they are sent and what they send."""

from __future__ import annotations

from rootless.runtime import attach
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

# A client that does not read holds the container's output back once this much waits for it:
# nothing is lost, and the monitor stays small.
HIGH_WATER = 1 << 20


class Client:
    """One connection; owned by Clients."""

    def __init__(self, endpoint: socket):
        self.endpoint = endpoint
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.flags = 0


class Clients:
    """All connections.  ``on_input``, ``on_resize`` and ``on_start`` get what clients send."""

    def __init__(
        self,
        listener: socket,
        on_input: Callable[[bytes], None],
        on_resize: Callable[[int, int], None],
        on_start: Callable[[], None],
    ):
        self.listener = listener
        self._on_input = on_input
        self._on_resize = on_resize
        self._on_start = on_start
        self._clients: dict[int, Client] = {}

    def adopt(self, endpoint: socket) -> None:
        """Take a connection that was made before we were there; it wants all output."""
        endpoint.setblocking(False)
        client = self._clients[endpoint.fileno()] = Client(endpoint)
        client.flags = attach.WANTS_OUTPUT | attach.GIVES_INPUT

    def restore(self, endpoint: socket, *, flags: int, incoming: bytes, outgoing: bytes) -> None:
        """Take a connection over from the program that we were before."""
        client = self._clients[endpoint.fileno()] = Client(endpoint)
        client.flags = flags
        client.incoming += incoming
        client.outgoing += outgoing

    def document(self) -> list[Any]:
        """The listener's descriptor, then what ``restore`` wants for each client."""
        found: list[Any] = [self.listener.fileno()]
        for fd, client in self._clients.items():
            found.append((fd, client.flags, bytes(client.incoming), bytes(client.outgoing)))
        return found

    def descriptors(self) -> tuple[int, ...]:
        """The listener's and all clients'."""
        return (self.listener.fileno(), *self._clients)

    def poll_for(self, register: Callable[[int, int], None], *, reading: bool) -> None:
        """Register what to wait for (poll(2)); ``reading`` is false while input is held back."""
        register(self.listener.fileno(), 1)
        for fd, client in self._clients.items():
            events = (1 if reading else 0) | (4 if client.outgoing else 0)
            register(fd, events)

    def owns(self, fd: int) -> bool:
        """Whether ``fd`` is one of ours, to be given to ``serve``."""
        return fd == self.listener.fileno() or fd in self._clients

    def serve(self, fd: int, events: int) -> None:
        """Do what poll(2) says can be done on ``fd``."""
        if fd == self.listener.fileno():
            self._accept()
            return
        client = self._clients[fd]
        try:
            if events & 4:
                self._flush(client)
            if events & ~4:
                self._receive(client)
        except (OSError, ValueError):
            self.drop(fd)

    def _accept(self) -> None:
        try:
            endpoint = attach.accept(self.listener)
        except OSError:  # it has gone again
            return
        if endpoint is not None:
            self._clients[endpoint.fileno()] = Client(endpoint)

    def _receive(self, client: Client) -> None:
        try:
            content = client.endpoint.recv(1 << 16)
        except BlockingIOError:
            return
        if not content:
            self.drop(client.endpoint.fileno())
            return
        client.incoming += content
        for kind, text in attach.split(client.incoming):
            if kind == attach.HELLO:
                client.flags = text[0]
            elif kind == attach.STDIN:
                self._on_input(text)
            elif kind == attach.START:
                self._on_start()
            elif kind == attach.RESIZE and len(text) == 4:
                rows, columns = text[0] << 8 | text[1], text[2] << 8 | text[3]
                self._on_resize(rows, columns)

    def _flush(self, client: Client) -> None:
        try:
            sent = client.endpoint.send(client.outgoing)
        except BlockingIOError:
            return
        del client.outgoing[:sent]

    def send(self, kind: int, content: bytes) -> None:
        """Queue a frame for everybody who wants the output; what becomes of the container goes to all."""
        message = attach.frame(kind, content)
        for fd, client in list(self._clients.items()):
            if attach.is_for(kind, client.flags):
                client.outgoing += message
                try:
                    self._flush(client)
                except OSError:
                    self.drop(fd)

    @property
    def waiting(self) -> bool:
        """Whether something is still to be sent."""
        return any(client.outgoing for client in self._clients.values())

    @property
    def full(self) -> bool:
        """Whether some client is so far behind that output must wait."""
        return any(len(client.outgoing) > HIGH_WATER for client in self._clients.values())

    def drop(self, fd: int) -> None:
        """Forget a client."""
        client = self._clients.pop(fd, None)
        if client is not None:
            client.endpoint.close()

    def drop_all(self) -> None:
        """Forget all, also those that have not had everything."""
        for fd in list(self._clients):
            self.drop(fd)

    def close(self) -> None:
        """Forget all, and stop listening."""
        self.drop_all()
        self.listener.close()
