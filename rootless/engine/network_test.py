"""``network test``: what a container's network can do here, tried in a throw-away namespace."""

from __future__ import annotations

from rootless.errors import InvalidRequest, RootlessError
from rootless.network import findings
from rootless.network.choice import pick_backend
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine


class Check(NamedTuple):
    """One thing that was tried; ``result`` is ``works``, ``failed`` or ``skipped``."""

    check: str
    result: str
    detail: str = ""


def run(engine: Engine, *, mode: str = "private", refresh: bool = False) -> tuple[Check, ...]:
    """The helpers, then the network that a container with ``--network MODE`` would have.

    Raises InvalidRequest for a mode that is not carried by a helper.
    """
    if mode not in ("private", "pasta", "slirp4netns"):
        raise InvalidRequest(
            f"network {mode} cannot be tested", hint="private, pasta or slirp4netns"
        )
    return (*_helpers(engine, refresh=refresh), *_network(engine, mode))


def _helpers(engine: Engine, *, refresh: bool) -> tuple[Check, ...]:
    found = []
    for name in ("pasta", "slirp4netns"):
        program = engine.host.find_program(name)
        unusable, no_ports, slow = findings.find(name, program, engine.paths.cache, refresh=refresh)
        if unusable is not None:
            result = "skipped" if program is None else "failed"
            found.append(Check(name, result, unusable))
        else:
            relayed = f"our relay publishes its ports: {no_ports}" if no_ports else ""
            found.append(Check(name, "works", "; ".join(filter(None, (slow, relayed)))))
    # One that works is enough: the others are not needed.
    if any(each.result == "works" for each in found):
        found = [
            each._replace(result="skipped") if each.result == "failed" else each for each in found
        ]
    return tuple(found)


def _network(engine: Engine, mode: str) -> tuple[Check, ...]:
    from rootless.network import trial

    try:
        backend = pick_backend(mode, engine.host)
    except RootlessError as error:
        return (Check("network", "failed", error.message),)
    if backend.name == "none":
        return (Check("network", "failed", "no helper works here"),)
    return tuple(
        Check(name, "works" if failure is None else "failed", failure or "")
        for name, failure in trial.run(backend)
    )
