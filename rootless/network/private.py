"""The default network: the first helper that does it.  All give the same addresses."""

from __future__ import annotations

from rootless.errors import HostLacks, Unsupported
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.backend import Attachment, Backend, Link, NetworkRequest
    from rootless.network.kept import Kept


class Private:
    """Implements ``Backend`` with others, in the order of preference."""

    new_namespace = True

    def __init__(self, choices: tuple[Backend, ...]):
        self._choices = choices

    @property
    def name(self) -> str:
        """The one that will be tried first."""
        return self._choices[0].name

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()

    def addresses(self, request: NetworkRequest) -> Attachment:
        failure: HostLacks | Unsupported | None = None
        for backend in self._choices:
            try:
                return backend.addresses(request)
            except Unsupported as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def start(self, pid: int, request: NetworkRequest) -> Link:
        return PrivateLink(self._choices, pid, request)


class PrivateLink:
    """Implements ``Link``: when a helper does not start, the next one is taken."""

    def __init__(self, choices: tuple[Backend, ...], pid: int, request: NetworkRequest):
        self._rest = list(choices)
        self._pid = pid
        self._request = request
        self._link = self._next(None)

    def _next(self, failure: HostLacks | Unsupported | None) -> Link:
        """Start the next helper; the first failure is what the user should read."""
        while self._rest:
            try:
                return self._rest.pop(0).start(self._pid, self._request)
            except (HostLacks, Unsupported) as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def wait(self) -> Attachment:
        while True:
            try:
                return self._link.wait()
            except HostLacks as error:
                self._link = self._next(error)

    def fds(self) -> tuple[int, ...]:
        return self._link.fds()

    def broken(self) -> str | None:
        return self._link.broken()

    def kept(self) -> Kept | None:
        return self._link.kept()

    def close(self) -> None:
        self._link.close()
