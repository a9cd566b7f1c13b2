"""Network backends: how a container's network namespace reaches the world.  Protocol, table, choice."""

from __future__ import annotations

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.kept import Kept
    from rootless.network.ports import PortMapping


class NetworkRequest(NamedTuple):
    """What a container wants of its network; ``mode`` is as after ``--network``.

    ``directory`` is a directory of the container's own, mode 0700, for control sockets.
    """

    mode: str = "private"
    ports: tuple[PortMapping, ...] = ()
    options: tuple[str, ...] = ()  # after "pasta:" or "slirp4netns:"
    directory: str | None = None
    mac_address: str | None = None
    interface: str = "eth0"


class Attachment(NamedTuple):
    """What attaching gave: the helper's process, and the addresses for hosts and resolv.conf."""

    backend: str
    helper_pid: int | None = None
    address: str | None = None
    address6: str | None = None
    gateway: str | None = None
    host_address: str | None = None  # what host.containers.internal is
    nameservers: tuple[str, ...] = ()
    interface: str | None = None
    mac_address: str | None = None
    outside: str | None = None  # on user networks: the backend for the way out
    places: tuple[dict[str, object], ...] = ()  # on user networks: one for each


class Link(Protocol):
    """A network that is being attached, or is attached; owned by the process that started it.

    The helper behind it dies with its owner, however that ends, and when it is closed.
    """

    def wait(self) -> Attachment:
        """Return when packets can flow.  Raises HostLacks or Conflict (port in use)."""
        ...

    def fds(self) -> tuple[int, ...]:
        """Descriptors for poll(2); one that becomes readable means: ask ``broken``."""
        ...

    def broken(self) -> str | None:
        """Why the network no longer works, or None while it does."""
        ...

    def kept(self) -> Kept | None:
        """What the owner needs to know when it becomes another program; None when it must not."""
        ...

    def close(self) -> None:
        """Take the network down; may be repeated."""
        ...


class Backend(Protocol):
    """One implementation of networking.  All methods run on the host side.

    ``new_namespace``: whether the container gets a network namespace of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def new_namespace(self) -> bool: ...

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        """The (kind, path) of namespaces that the container must join instead of having its own.

        Asked for at each launch, right before it.
        """
        ...

    def addresses(self, request: NetworkRequest) -> Attachment:
        """What attaching will give, known before the container exists (for hosts and resolv.conf).

        Also the check before anything starts: raises Conflict for a port of the host that is taken.
        """
        ...

    def start(self, pid: int, request: NetworkRequest) -> Link:
        """Begin to connect the network namespace of process ``pid`` and return at once.

        ``pid`` needs to have made its user and network namespaces, nothing more.
        """
        ...


class Unattached:
    """The link of a backend that has no helper."""

    def __init__(self, attachment: Attachment):
        self._attachment = attachment

    def wait(self) -> Attachment:
        return self._attachment

    def fds(self) -> tuple[int, ...]:
        return ()

    def broken(self) -> str | None:
        return None

    def kept(self) -> Kept:
        from rootless.network.kept import Kept

        return Kept()

    def close(self) -> None:
        pass


class Host(Protocol):
    """The facts that a choice needs: paths of helpers that passed their probe, else None."""

    @property
    def pasta(self) -> str | None: ...

    @property
    def pasta_publishes(self) -> bool: ...

    @property
    def slirp4netns(self) -> str | None: ...

    @property
    def network_loss(self) -> str: ...


def _need_namespace(mode: str, host: Host) -> None:
    """What keeps a container from the network of the host is never left out in silence."""
    if host.network_loss:
        raise HostLacks(
            f"--network {mode} cannot be enforced: no network namespace can be made here"
            f" ({host.network_loss.lower()})",
            hint="rootless doctor",
        )


def _none(host: Host) -> Backend:
    from rootless.network.none import NoNetwork

    _need_namespace("none", host)
    return NoNetwork()


def _host(host: Host) -> Backend:
    from rootless.network.host import HostNetwork

    return HostNetwork()


def _joined(host: Host) -> Backend:
    from rootless.network.joined import JoinedNetwork

    return JoinedNetwork()


def _pasta(host: Host) -> Backend:
    from rootless.network.pasta import Pasta

    _need_namespace("pasta", host)
    if host.pasta is None:
        raise HostLacks("pasta does not work here", hint="rootless doctor says why")
    return Pasta(host.pasta, publishes=host.pasta_publishes)


def _slirp4netns(host: Host) -> Backend:
    from rootless.network.slirp4netns import Slirp4netns

    _need_namespace("slirp4netns", host)
    if host.slirp4netns is None:
        raise HostLacks("slirp4netns does not work here", hint="rootless doctor says why")
    return Slirp4netns(host.slirp4netns)


def _private(host: Host) -> Backend:
    from rootless.network.private import Private

    if host.network_loss:
        return _host(host)
    choices = []
    if host.pasta is not None:
        choices.append(_pasta(host))
    if host.slirp4netns is not None:
        choices.append(_slirp4netns(host))
    if not choices:
        return _none(host)
    return choices[0] if len(choices) == 1 else Private(tuple(choices))


if TYPE_CHECKING:
    BACKENDS: dict[str, Callable[[Host], Backend]]

BACKENDS = {
    "none": _none,
    "host": _host,
    "joined": _joined,
    "private": _private,
    "pasta": _pasta,
    "slirp4netns": _slirp4netns,
}


def split_mode(text: str) -> tuple[str, tuple[str, ...]]:
    """``pasta:-T,5000`` → (``pasta``, (``-T``, ``5000``)); empty and ``default`` mean ``private``."""
    mode, _, options = text.partition(":")
    if mode in ("", "default", "private"):
        mode = "private"
    return mode, tuple(each for each in options.split(",") if each)


def pick_backend(mode: str, host: Host) -> Backend:
    """The backend of a mode of ``BACKENDS``.

    ``private`` takes the first that works here, and no network at all where none does, or that of the
    host where there are no network namespaces: compare the backend's ``name`` with ``none`` and
    ``host`` and say so (``instead_of_private``).  Raises HostLacks when one that was
    asked for by name does not work.
    """
    make = BACKENDS.get(mode)
    if make is None:
        raise InvalidRequest(
            f"unknown network mode {mode}", hint=f"use one of {', '.join(BACKENDS)}"
        )
    return make(host)


NO_NETWORK = "neither pasta nor slirp4netns works here: the container has only its loopback"
"""What to tell the user when ``private`` became ``none``."""

NO_NAMESPACE = "no network namespace can be made here: the container shares the network of the host"


def instead_of_private(backend: Backend) -> str | None:
    """What to tell the user about what ``private`` has become; None where it is private."""
    return {"none": NO_NETWORK, "host": NO_NAMESPACE}.get(backend.name)
