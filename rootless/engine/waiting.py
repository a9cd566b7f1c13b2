"""``wait --condition``: until a container is in a state other than ended."""

from __future__ import annotations

import time

from rootless.errors import NotFound
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.container_requests import WaitRequest
    from rootless.runtime.container import Container

# Where the usual wait for the monitor's end will do.
ENDED = frozenset(("stopped", "exited", "not-running"))
CONDITIONS = ENDED | {
    *("created", "running", "paused", "restarting", "removed", "removing", "configured"),
    *("healthy", "unhealthy", "next-exit", "initialized"),
}
_SAME = {"configured": "created", "initialized": "created", "not-running": "exited"}


def wait_for(engine: Engine, name: str, request: WaitRequest) -> int:
    """Look again and again; the exit code of a container that has ended, else -1."""
    container = store.find(engine.paths, name)
    if "next-exit" in request.condition and container.state() is None:
        while container.state() is None:
            time.sleep(request.interval)
    while True:
        try:
            container = store.load(engine.paths, container.id)
        except NotFound:
            if "removed" in request.condition:
                return _code(container)
            raise NotFound(f"container {name} was removed meanwhile") from None
        if any(_is(container, condition) for condition in request.condition):
            return _code(container)
        time.sleep(request.interval)


def _is(container: Container, condition: str) -> bool:
    if condition in ("healthy", "unhealthy"):
        health = (container.state() or {}).get("health") or {}
        return health.get("Status") == condition
    status = container.status()
    if condition in ("stopped", "exited", "not-running", "next-exit"):
        return status == "exited"
    return status == _SAME.get(condition, condition)


def _code(container: Container) -> int:
    if container.state() is not None:
        return -1
    return container.record.get("last", {}).get("exit_code", 0)
