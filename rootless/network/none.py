"""No network: a namespace of its own with nothing in it but loopback."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.network.backend import Attachment, Unattached
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.backend import Link, NetworkRequest


class NoNetwork:
    """Implements ``Backend``."""

    name = "none"
    new_namespace = True

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()

    def addresses(self, request: NetworkRequest) -> Attachment:
        if request.ports:
            raise InvalidRequest(
                "a container without a network cannot publish ports",
                hint="leave out -p, or --network none; rootless doctor says which helpers work",
            )
        return Attachment(backend=self.name)

    def start(self, pid: int, request: NetworkRequest) -> Link:
        return Unattached(self.addresses(request))
