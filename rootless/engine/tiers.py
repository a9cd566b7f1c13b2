"""Tiers: how much of the usual isolation this host gives, chosen on its own, recorded and demanded.

``full`` is the best; each further one is what is left when something is missing.
"""

from __future__ import annotations

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.host import HostFacts

TIERS = ("full", "single-id", "shared-proc", "shared-network")

LOST = {
    "single-id": "containers have a single user id",
    "shared-proc": "no new procfs can be mounted, so /proc shows processes outside of containers",
    "shared-network": "containers share the network of the host",
}


class Loss(NamedTuple):
    """A tier that was reached because of ``why``."""

    tier: str
    why: str


def losses(host: HostFacts) -> tuple[Loss, ...]:
    """What is missing here for the full tier, the lightest loss first."""
    found = (
        Loss("single-id", host.id_map_loss),
        Loss("shared-proc", host.proc_loss),
        Loss("shared-network", host.network_loss),
    )
    return tuple(each for each in found if each.why)


def tier_of(found: tuple[Loss, ...]) -> str:
    """The tier that is left after these losses."""
    return found[-1].tier if found else TIERS[0]


def demand(host: HostFacts, required: str) -> None:
    """Raise HostLacks where this host gives less than the tier ``required``."""
    if required not in TIERS:
        raise InvalidRequest(f"unknown tier {required!r}", hint=f"one of {' '.join(TIERS)}")
    for loss in losses(host):
        if TIERS.index(loss.tier) > TIERS.index(required):
            raise HostLacks(
                f"this host gives only the tier {loss.tier}, not {required}: {loss.why}",
                hint="rootless doctor",
            )
