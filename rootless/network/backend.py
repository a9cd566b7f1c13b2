"""What a network backend is: how a container's network namespace reaches the world."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
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
