"""Restart policies: whether and when a container is started again.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import NamedTuple

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 60.0
_LONG_ENOUGH_S = 10.0  # a run of that length was a success: the delays start anew


class RestartPolicy(NamedTuple):
    """``name`` is no, on-failure, always or unless-stopped; ``retries`` 0 is without end."""

    name: str = "no"
    retries: int = 0

    def delay(self, code: int, *, stopped: bool, restarts: int, ran_s: float) -> float | None:
        """Seconds to wait before the next start, or None for no start.

        ``code`` is how the last run ended, ``stopped`` that somebody asked for it, ``restarts`` how
        many there were, ``ran_s`` how long it ran.
        """
        if stopped or self.name == "no":
            return None
        if self.name == "on-failure" and (code == 0 or 0 < self.retries <= restarts):
            return None
        if ran_s >= _LONG_ENOUGH_S:
            return _FIRST_DELAY_S
        return float(min(_FIRST_DELAY_S * 2 ** min(restarts, 20), _LONGEST_DELAY_S))


def parse_policy(text: str | None) -> RestartPolicy:
    """``on-failure:5`` and the like.  Raises InvalidRequest."""
    name, colon, number = (text or "no").partition(":")
    if name not in ("no", "never", "on-failure", "always", "unless-stopped"):
        raise InvalidRequest(
            f"restart policy {text!r} is unknown",
            hint="no, on-failure[:N], always or unless-stopped",
        )
    if colon and (name != "on-failure" or not number.isdigit()):
        raise InvalidRequest(f"restart policy {text!r} takes no count")
    return RestartPolicy("no" if name == "never" else name, int(number or 0))
