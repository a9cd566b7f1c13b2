"""run, and start in the foreground: the caller's process supervises the container."""

from __future__ import annotations

import os

from rootless import events
from rootless.engine.create import create
from rootless.engine.discard import drop
from rootless.engine.surroundings import make_cgroup
from rootless.errors import RootlessError
from rootless.runtime import container as store
from rootless.runtime import launch, supervise
from rootless.runtime.journal import note_container
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.prepared import Prepared
    from rootless.engine.requests import RunRequest
    from rootless.events import Report
    from rootless.network.backend import Link


class RunResult(NamedTuple):
    """``exit_code`` is None for a container that goes on without us."""

    container_id: str
    exit_code: int | None


def run(
    engine: Engine, request: RunRequest, report: Report = events.ignore, *, lifeline: int = -1
) -> RunResult:
    """Create the container and run it to its end, or start it detached.

    A detached one ends when the other end of the descriptor ``lifeline`` is closed.

    A container that removes itself and has no terminal runs as our own child on our own streams:
    nothing stands between.  Any other has a monitor, so that it can be attached to, logged, restarted.
    Raises LaunchFailed (125, 126 or 127) and whatever ``create`` raises.
    """
    prepared = create(engine, request, report, hold=True)
    if request.rm and not (request.detach or request.tty or _needs_monitor(request)):
        code = foreground(engine, prepared, interactive=request.interactive, report=report)
        return RunResult(prepared.container.id, code)
    from rootless.engine import lifecycle

    try:
        ended = lifecycle.run_monitored(engine, prepared, request, lifeline=lifeline)
    except RootlessError:
        if request.rm:
            _remove(engine, prepared)
        raise
    if request.restart and ended is None and lifeline < 0:
        from rootless.engine.boot import arrange

        arrange(engine, prepared.container, report)
    return RunResult(prepared.container.id, ended)


def _needs_monitor(request: RunRequest) -> bool:
    notifies = request.sdnotify != "ignore" and os.environ.get("NOTIFY_SOCKET")
    return bool(
        notifies
        or request.pidfile
        or request.timeout
        or request.health_cmd
        or request.log_driver
        or request.restart
        or request.attach
    )


def foreground(
    engine: Engine, prepared: Prepared, *, interactive: bool, report: Report = events.ignore
) -> int:
    """Launch, stand by until the program ends, and remove the container.  Raises LaunchFailed.

    ``prepared`` holds the container's lock.
    """
    container = prepared.container
    links: list[Link] = []
    cgroup = None
    null = -1 if interactive else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    started = store.timestamp()
    try:
        cgroup = make_cgroup(engine, container.record)
        created = launch.create(
            prepared.plan,
            (0 if interactive else null, 1, 2),
            cgroup=cgroup,
            attach=lambda pid: links.append(
                prepared.backend.start(
                    pid, prepared.network._replace(directory=container.run_directory)
                )
            ),
        )
        try:
            code = _stand_by(
                container,
                created,
                links[0],
                started=started,
                cgroup=cgroup.path if cgroup is not None else "",
                report=report,
            )
            if code and cgroup is not None and cgroup.oom_kills():
                report(
                    events.Notice("killed: the container is out of memory (--memory)", "warning")
                )
            return code
        except BaseException:
            launch.kill(created.pid)
            raise
        finally:
            launch.end_supervisor(created.supervisor)
    finally:
        for link in links:
            link.close()
        if cgroup is not None:
            cgroup.remove()
        if null >= 0:
            os.close(null)
        drop(engine, container)  # first: killed in between, a sweep still knows what to do
        container.let_go(prepared.alive)
        supervise.reap()


def _stand_by(
    container: store.Container,
    created: launch.Created,
    link: Link,
    *,
    started: str,
    cgroup: str,
    report: Report,
) -> int:
    """Let the program run once the network is there; its exit code."""
    state: store.State = {
        "pid": created.pid,
        "start_time": store.process_start_time(created.pid),
        "started": started,
        "status": "running",
        "network": link.wait()._asdict(),
        "cgroup": cgroup,
    }
    store.write_state(container, state)

    def broken(reason: str) -> None:
        state["network"]["broken"] = reason
        store.write_state(container, state)
        report(events.Notice(reason, "warning"))

    # Before the program can have said anything: from then on signals are its own.
    forwarding = supervise.Forwarding(supervise.sender(created.pid))
    try:
        launch.start(created)
        store.note_begin(container.bundle)
        note_container(container.paths, container.record, "start")
        code = supervise.stand_by(created.pid, link, broken)
        note_container(container.paths, container.record, "died", containerExitCode=code)
        return code
    finally:
        forwarding.close()


def _remove(engine: Engine, prepared: Prepared) -> None:
    from rootless.engine.removal import remove

    remove(engine, prepared.container, force=True)
