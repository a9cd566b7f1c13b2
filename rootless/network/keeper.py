"""KEEPER: the one process behind a user's networks - namespaces, bridges, addresses, names.

It lives while a container is on a user network: every such container's supervisor holds a connection,
and whatever the container had ends with it.  A worker, root of the keeper's user namespace, does what
needs rights there; the keeper itself stays on the host's network, where the resolvers are.
"""

from __future__ import annotations

import os
import select
from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket

from rootless import files
from rootless.errors import HostLacks, RootlessError
from rootless.network import wire
from rootless.network.dns import Dns
from rootless.network.members import Member, Members, Wish, describe
from rootless.network.records import bridge_name, mtu_of
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.records import NetworkRecord

SOCKET = "keeper.sock"
_IDLE_S = 1.0
_BACKLOG = 128


def bind(directory: str) -> socket:
    """The keeper's socket, for its owner only.  The name is short whatever the directory's is."""
    path, fd = _short(directory)
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        files.discard(path)  # of a keeper that was killed
        previous = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(previous)
        listener.listen(_BACKLOG)
    finally:
        os.close(fd)
    return listener


def connect(directory: str) -> socket | None:
    """A connection to the keeper, or None when there is none."""
    try:
        path, fd = _short(directory)
    except FileNotFoundError:
        return None
    endpoint = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        endpoint.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        endpoint.close()
        return None
    finally:
        os.close(fd)
    return endpoint


def _short(directory: str) -> tuple[str, int]:
    """A path of the socket that fits into sun_path (108 bytes), and a descriptor it needs."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{SOCKET}", fd


class Keeper:
    """Its whole state; ``worker`` is the connection to the worker, whose process is ``worker_pid``."""

    def __init__(self, listener: socket, worker: socket, worker_pid: int, *, directory: str):
        self._listener = listener
        self._worker = worker
        self._worker_pid = worker_pid
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._members = Members(directory)
        self._connections: dict[int, tuple[socket, Member | None]] = {}
        self._bridges: dict[str, NetworkRecord] = {}
        self._dns = Dns(self._members, self._watch, self._unwatch)
        self._ended = False
        self._watch(listener.fileno(), self._accept)
        self._watch(os.pidfd_open(worker_pid), self._end)

    def run(self) -> None:
        """Until nobody has been connected for a moment, or the worker is gone."""
        idle = False
        while not self._ended:
            timeout = 0.25 if self._dns.upstream.is_waiting else _IDLE_S
            events = self._epoll.poll(timeout)
            for fd, _ in events:
                callback = self._callbacks.get(fd)
                if callback is not None:
                    callback()
            self._dns.upstream.sweep()
            if not events and not self._connections:
                if idle:
                    return
                idle = True  # twice: one that was connecting has been accepted by then
            else:
                idle = False

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def _unwatch(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._callbacks[fd]

    def _end(self) -> None:
        self._ended = True

    def _accept(self) -> None:
        fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # of the C type
        endpoint = socket(fileno=fd)
        peer = endpoint.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        if int.from_bytes(peer[4:8], "little") != os.getuid():
            endpoint.close()
            return
        self._connections[fd] = (endpoint, None)
        self._watch(fd, lambda: self._hear(fd))

    def _hear(self, fd: int) -> None:
        """One request of a connection, or its end."""
        endpoint, member = self._connections[fd]
        request, fds = wire.receive(endpoint)
        try:
            if request is None:
                self._unwatch(fd)
                del self._connections[fd]
                endpoint.close()
                if member is not None:
                    self._leave(member)
                return
            answer, given = self._obey(fd, request, fds)
        except RootlessError as error:
            answer, given = wire.failure(error), ()
        try:
            wire.send(endpoint, answer, given)
        except OSError:
            pass  # it will be heard that the connection has ended
        finally:
            wire.close_all([*fds, *given])

    def _obey(
        self, fd: int, request: dict[str, Any], fds: list[int]
    ) -> tuple[dict[str, Any], tuple[int, ...]]:
        endpoint, member = self._connections[fd]
        match request["do"]:
            case "join":
                member = self._join(request)
                self._connections[fd] = (endpoint, member)
                return {**describe(member), "worker": self._worker_pid}, ()
            case "plug" if member is not None:
                member.namespace = os.dup(fds[0])
                for network in member.places:
                    self._plug(member, network)
            case "unplug" if member is not None:
                self._unplug(member)
            case "connect":
                found = self._members.find(request["container"])
                self._take_place(found, Wish(**request["wish"]))
                return describe(found), ()
            case "disconnect":
                found = self._members.find(request["container"])
                self._disconnect(found, request["network"])
                return describe(found), ()
            case "list":
                return {"members": [describe(each) for each in self._members]}, ()
            case "settle":
                self._ended = not len(self._members)
                return {"ends": self._ended}, ()
            case other:
                raise HostLacks(f"the keeper of networks does not know {other}")
        return {}, ()

    def _join(self, request: dict[str, Any]) -> Member:
        member = Member(request["container"], tuple(request["names"]), tuple(request["resolvers"]))
        self._members.add(member)
        try:
            for wish in request["wishes"]:
                self._take_place(member, Wish(**wish))
        except BaseException:
            self._leave(member)
            raise
        return member

    def _take_place(self, member: Member, wish: Wish) -> None:
        record = self._members.take_place(member, wish)
        try:
            if record["name"] not in self._bridges:
                self._add_bridge(record)
            if member.namespace >= 0:
                self._plug(member, record["name"])
        except BaseException:
            self._disconnect(member, record["name"])
            raise

    def _add_bridge(self, record: NetworkRecord) -> None:
        _, fds = self._order({"do": "add bridge", "record": record})
        self._bridges[record["name"]] = record
        if record["dns_enabled"]:
            self._dns.open(record, fds)
        else:
            wire.close_all(fds)

    def _plug(self, member: Member, network: str) -> None:
        place, record = member.places[network], self._bridges[network]
        endpoint = {
            "bridge": bridge_name(record),
            "interface": place.interface,
            "addresses": place.addresses,
            "mac_address": place.mac_address,
            "mtu": mtu_of(record),
        }
        answer, _ = self._order({"do": "attach", "endpoint": endpoint}, (member.namespace,))
        member.ends[network] = answer["end"]

    def _unplug(self, member: Member) -> None:
        """The container has ended; its supervisor may start it again."""
        for end in member.ends.values():
            self._order({"do": "detach", "end": end})
        member.ends.clear()
        if member.namespace >= 0:
            os.close(member.namespace)
            member.namespace = -1

    def _disconnect(self, member: Member, network: str) -> None:
        end = member.ends.pop(network, None)
        if end is not None:
            self._order({"do": "detach", "end": end})
        member.places.pop(network, None)
        self._drop_bridge(network)

    def _leave(self, member: Member) -> None:
        self._unplug(member)
        self._members.remove(member)
        for network in member.places:
            self._drop_bridge(network)

    def _drop_bridge(self, network: str) -> None:
        if network in self._bridges and not self._members.on(network):
            record = self._bridges.pop(network)
            self._dns.close(network)
            self._order({"do": "remove bridge", "record": record})

    def _order(
        self, request: dict[str, Any], fds: tuple[int, ...] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Have the worker do something.  Raises what it failed with."""
        return wire.ask(self._worker, request, fds)
