"""The network of another container, or of a namespace file: nothing of ours to attach."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.network.backend import Attachment, Unattached
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.backend import Link, NetworkRequest


class JoinedNetwork:
    """Implements ``Backend``."""

    name = "joined"
    new_namespace = False

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()  # they are in the container's spec

    def addresses(self, request: NetworkRequest) -> Attachment:
        if request.ports:
            raise InvalidRequest(
                "ports are published by the container whose network is joined", hint="leave out -p"
            )
        return Attachment(backend=self.name)

    def start(self, pid: int, request: NetworkRequest) -> Link:
        return Unattached(self.addresses(request))
