"""A network that a helper carries: the link that pasta and slirp4netns have in common."""

from __future__ import annotations

from rootless import files
from rootless.errors import HostLacks
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.backend import Attachment, NetworkRequest
    from rootless.network.helper import Helper
    from rootless.network.kept import Kept
    from rootless.network.relay import Relay

_CUT_OFF = "the container is cut off"
_RELAY_ENDED = "the process that publishes ports has ended"


class HelperLink:
    """Implements ``Link``: a helper, and with ``relayed`` our own relay for the published ports.

    ``files`` are removed at the end.
    """

    def __init__(
        self,
        helper: Helper,
        request: NetworkRequest,
        attachment: Attachment,
        *,
        relay: Relay | None = None,
        files: tuple[str, ...] = (),
    ):
        self._helper = helper
        self._request = request
        self._attachment = attachment._replace(helper_pid=helper.pid)
        self._relay = relay
        self._files = files

    def wait(self) -> Attachment:
        try:
            if not self._helper.wait_ready():
                raise self._failure()
            self._publish()
        except BaseException:
            self.close()
            raise
        return self._attachment

    def _failure(self) -> Exception:
        """Why the helper ended before it was ready."""
        return HostLacks(
            f"{self._helper.name} cannot connect the container: {self._helper.words()}"
        )

    def _publish(self) -> None:
        """What is left to do once packets flow."""
        if self._relay is not None:
            self._relay.wait()

    def fds(self) -> tuple[int, ...]:
        relay = () if self._relay is None else (self._relay.pidfd,)
        return (self._helper.pidfd, *relay)

    def broken(self) -> str | None:
        if self._helper.has_ended():
            return f"{self._helper.name} has ended: {_CUT_OFF}"
        if self._relay is not None and self._relay.has_ended():
            return _RELAY_ENDED
        return None

    def kept(self) -> Kept:
        from rootless.network.kept import Kept

        watched = [(self._helper.pidfd, f"{self._helper.name} has ended: {_CUT_OFF}")]
        if self._relay is not None:
            watched.append((self._relay.pidfd, _RELAY_ENDED))
        return Kept(
            tuple(watched),
            held=self._helper.lifeline(),
            files=self._files,
            patient=bool(self._request.ports),
        )

    def close(self) -> None:
        if self._relay is not None:
            self._relay.close()
        # A helper that binds ports must be gone before somebody else may have them.
        self._helper.close(wait=bool(self._request.ports) and self._relay is None)
        for path in self._files:
            files.discard(path)
