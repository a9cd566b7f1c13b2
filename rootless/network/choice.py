"""HOST SIDE: which network backend a container gets: the table of modes, and what works here."""

from __future__ import annotations

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.network.backend import Backend


class Host(Protocol):
    """The facts that a choice needs: paths of helpers that passed their probe, else None."""

    @property
    def pasta(self) -> str | None: ...

    @property
    def pasta_publishes(self) -> bool: ...

    @property
    def pasta_slowness(self) -> str | None: ...

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
    if len(choices) > 1 and host.pasta_slowness is not None:
        choices.reverse()
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
