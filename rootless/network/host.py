"""The host's own network: no namespace, no helper, full speed and no separation."""

from __future__ import annotations

from rootless.network.backend import Attachment, Unattached
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.backend import Link, NetworkRequest


class HostNetwork:
    """Implements ``Backend``.  Published ports need nothing: the container listens on the host."""

    name = "host"
    new_namespace = False

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return ()

    def addresses(self, request: NetworkRequest) -> Attachment:
        return Attachment(backend=self.name, host_address="127.0.0.1")

    def start(self, pid: int, request: NetworkRequest) -> Link:
        return Unattached(self.addresses(request))
