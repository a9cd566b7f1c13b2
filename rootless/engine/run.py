"""run, and start in the foreground: the caller's process supervises the container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootless import events, files
from rootless.engine.create import create, plan_of
from rootless.network.backend import NetworkRequest, pick_backend
from rootless.network.ports import PortMapping
from rootless.runtime import container as store
from rootless.runtime import launch, supervise

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.create import Prepared
    from rootless.engine.requests import RunRequest
    from rootless.events import Report
    from rootless.network.backend import Link


def run(engine: Engine, request: RunRequest, report: Report = events.ignore) -> int:
    """Create the container, run it in the foreground on our own streams; its exit code.

    Raises LaunchFailed (125, 126 or 127) and whatever ``create`` raises; a container that never ran
    is removed again when ``rm`` was asked.
    """
    prepared = create(engine, request, report)
    try:
        return foreground(engine, prepared, interactive=request.interactive)
    finally:
        if request.rm:
            _remove(engine, prepared)


def prepare(engine: Engine, container: store.Container) -> Prepared:
    """A stored container, ready to be launched again."""
    from rootless.engine.create import Prepared

    mode, ports, options = container.record["launch"]["network"]
    request = NetworkRequest(mode, tuple(PortMapping(*each) for each in ports), tuple(options))
    return Prepared(
        container,
        plan_of(engine, container.record, container.spec()),
        pick_backend(mode, engine.host),
        request,
    )


def foreground(engine: Engine, prepared: Prepared, *, interactive: bool) -> int:
    """Launch and stand by until the program ends.  Raises LaunchFailed; Conflict when it runs already."""
    container = prepared.container
    os.makedirs(container.run_directory, mode=0o700, exist_ok=True)
    alive = files.open_lock(container.alive_lock, wait=False)
    links: list[Link] = []
    null = -1 if interactive else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    started = store.timestamp()
    try:
        created = launch.create(
            prepared.plan,
            (0 if interactive else null, 1, 2),
            attach=lambda pid: links.append(
                prepared.backend.start(
                    pid, prepared.network._replace(directory=container.run_directory)
                )
            ),
        )
        try:
            network = links[0].wait()
            store.write_state(
                container,
                {
                    "pid": created.pid,
                    "start_time": store.process_start_time(created.pid),
                    "started": started,
                    "status": "running",
                    "network": network._asdict(),
                },
            )
            launch.start(created)
            code = _stand_by(created, interactive=interactive)
        except BaseException:
            launch.kill(created.pid)
            raise
        _remember(container, started=started, code=code)
        return code
    finally:
        for link in links:
            link.close()
        if null >= 0:
            os.close(null)
        _forget(container)
        os.close(alive)
        supervise.reap()


def _stand_by(created: launch.Created, *, interactive: bool) -> int:
    if created.terminal < 0:
        return supervise.wait(created.pid)
    from rootless.runtime import terminal

    return terminal.relay(created.pid, created.terminal, interactive=interactive)


def _remember(container: store.Container, *, started: str, code: int) -> None:
    """Write down how the run ended; a container that removes itself needs no memory."""
    if container.record["auto_remove"]:
        return
    container.record["last"] = {
        "started": started,
        "finished": store.timestamp(),
        "exit_code": code,
    }
    store.write_record(container.bundle, container.record)


def _forget(container: store.Container) -> None:
    """Take the run-time state away, the lock file last: while it is held we run."""
    files.remove_tree(container.run_directory, missing_ok=True)


def _remove(engine: Engine, prepared: Prepared) -> None:
    from rootless.engine.containers import remove

    remove(engine, prepared.container, force=True)
