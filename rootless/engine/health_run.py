"""``healthcheck run``: the health check of a container, now."""

from __future__ import annotations

import os

from rootless.engine.exec import plan_of
from rootless.engine.requests import ExecRequest
from rootless.errors import InvalidRequest
from rootless.runtime import container as store
from rootless.runtime import launch, supervise
from rootless.runtime.joined_cgroup import JoinedCgroup
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine


def run_check(engine: Engine, name: str) -> bool:
    """Whether the container is healthy; what its test prints is not shown.

    Raises InvalidRequest for a container without a check, Conflict for one that does not run.
    """
    import select

    container = store.find(engine.paths, name)
    health = container.record.get("health")
    if health is None:
        raise InvalidRequest(
            f"container {container.name} has no health check", hint="run it with --health-cmd"
        )
    plan = plan_of(engine, container, ExecRequest(container.id, tuple(health["test"])))
    place = (container.state() or {}).get("cgroup")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        cgroup = JoinedCgroup(place) if place else None
        created = launch.create(plan, (null, null, null), cgroup=cgroup)
    finally:
        os.close(null)
    pidfd = os.pidfd_open(created.pid)
    try:
        launch.start(created)
        if not select.select([pidfd], [], [], float(health.get("timeout_s") or 30))[0]:
            launch.kill(created.pid)
            return False
        return supervise.exit_status(os.waitpid(created.pid, 0)[1]) == 0
    finally:
        os.close(pidfd)
