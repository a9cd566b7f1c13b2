"""User networks as a backend: a membership with the keeper, and a private network for the way out.

The way out is the container's own helper, as on the default network: nothing is shared that could fail
for all, the client's address of a published port is kept where the helper keeps it, and no address
translation, whose tools may be missing, is needed in the keeper.
"""

from __future__ import annotations

import os

from rootless.errors import HostLacks
from rootless.network import wire
from rootless.network.backend import Attachment
from rootless.network.members import Place
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from rootless.network.backend import Backend, Link, NetworkRequest
    from rootless.network.kept import Kept
    from rootless.network.members import Wish

OUTSIDE_INTERFACE = "out0"


class UserNetworks:
    """Implements ``Backend``.  ``connect`` gives a connection to the keeper, starting it when needed.

    ``outside`` is the backend for the way out, None when all networks are internal.
    """

    name = "bridge"
    new_namespace = True

    def __init__(
        self,
        connect: Callable[[], socket],
        wishes: tuple[Wish, ...],
        *,
        container: str,
        names: tuple[str, ...],
        resolvers: tuple[str, ...],
        outside: Backend | None,
    ):
        self._connect = connect
        self._wishes = wishes
        self._container = container
        self._names = names
        self._resolvers = resolvers
        self._outside = outside
        self._connection: socket | None = None
        self._places: tuple[Place, ...] = ()
        self._worker = 0

    def _join(self) -> socket:
        """Have our places; the connection holds them until this process, or its child, ends."""
        tries = 3
        while self._connection is None:
            connection = self._connect()
            try:
                self._take_places(connection)
            except wire.Gone:  # a keeper that was about to end accepted us
                connection.close()
                tries -= 1
                if not tries:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                self._connection = connection
        return self._connection

    def _take_places(self, connection: socket) -> None:
        answer, _ = wire.ask(
            connection,
            {
                "do": "join",
                "container": self._container,
                "names": self._names,
                "resolvers": self._resolvers,
                "wishes": [each._asdict() for each in self._wishes],
            },
        )
        self._places = places_of(answer)
        self._worker = answer["worker"]

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        self._join()
        return (("user", f"/proc/{self._worker}/ns/user"),)

    def addresses(self, request: NetworkRequest) -> Attachment:
        self._join()
        outside = None if self._outside is None else self._outside.addresses(_outward(request))
        return self._attachment(outside)

    def _attachment(self, outside: Attachment | None) -> Attachment:
        return attachment_of(self._places, outside)

    def start(self, pid: int, request: NetworkRequest) -> Link:
        connection = self._join()
        outside = None
        if self._outside is not None:
            outside = self._outside.start(pid, _outward(request))
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                wire.send(connection, {"do": "plug"}, (fd,))
            finally:
                os.close(fd)
        except BaseException:
            if outside is not None:
                outside.close()
            raise
        return UserLink(connection, outside, self._attachment)


class UserLink:
    """Implements ``Link``: the bridges and the way out come up beside each other."""

    def __init__(
        self,
        connection: socket,
        outside: Link | None,
        attachment: Callable[[Attachment | None], Attachment],
    ):
        self._connection = connection
        self._outside = outside
        self._attachment = attachment
        self._plugged = False

    def wait(self) -> Attachment:
        try:
            wire.receive_answer(self._connection)
            self._plugged = True
            return self._attachment(None if self._outside is None else self._outside.wait())
        except BaseException:
            self.close()
            raise

    def fds(self) -> tuple[int, ...]:
        outside = self._outside.fds() if self._outside else ()
        return (self._connection.fileno(), *outside)

    def broken(self) -> str | None:
        import select

        poll = select.poll()
        poll.register(self._connection.fileno(), 0)
        if poll.poll(0):
            return "the keeper of user networks has ended: the container is cut off from them"
        return self._outside.broken() if self._outside else None

    def kept(self) -> Kept | None:
        return None  # leaving takes a conversation with the keeper

    def close(self) -> None:
        if self._outside is not None:
            self._outside.close()
        if self._plugged:
            self._plugged = False
            try:
                wire.ask(self._connection, {"do": "unplug"})
            except HostLacks:
                pass  # the keeper is gone, and with it what was plugged in


def attachment_of(places: tuple[Place, ...], outside: Attachment | None) -> Attachment:
    """What a container has whose places are these, and whose way out is ``outside``."""
    addresses = [address for each in places for address, _ in each.addresses]
    first = places[0] if places else None
    return Attachment(
        backend=UserNetworks.name,
        helper_pid=outside.helper_pid if outside else None,
        address=next((each for each in addresses if ":" not in each), None),
        address6=next((each for each in addresses if ":" in each), None),
        gateway=first.gateways[0] if first else None,
        host_address=outside.host_address if outside else None,
        nameservers=tuple(each.gateways[0] for each in places if each.resolves)[:3],
        interface=first.interface if first else None,
        mac_address=first.mac_address if first else None,
        outside=outside.backend if outside else None,
        places=tuple(each._asdict() for each in places),
    )


def places_of(described: dict[str, Any]) -> tuple[Place, ...]:
    """The places of a member as the keeper describes it."""
    return tuple(_place(each) for each in described["places"])


def _outward(request: NetworkRequest) -> NetworkRequest:
    return request._replace(interface=OUTSIDE_INTERFACE, mac_address=None, options=())


def _place(fields: dict[str, object]) -> Place:
    """JSON knows no tuples."""
    place = Place(**fields)  # type: ignore[arg-type]  # what the keeper made from a Place
    return place._replace(
        addresses=tuple((each[0], each[1]) for each in place.addresses),
        gateways=tuple(place.gateways),
        aliases=tuple(place.aliases),
    )
