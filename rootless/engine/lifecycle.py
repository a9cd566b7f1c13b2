"""Containers with a monitor: start, attach, stop, kill, wait, restart, pause."""

from __future__ import annotations

import os
import signal

from rootless.engine.discard import drop
from rootless.engine.exec import plan_of
from rootless.engine.log_options import log_options
from rootless.engine.prepared import prepare
from rootless.engine.requests import ExecRequest
from rootless.engine.stopping import signal_init, stop_one, wait_for_end
from rootless.engine.surroundings import make_cgroup
from rootless.engine.waiting import CONDITIONS, ENDED
from rootless.errors import Conflict, InvalidRequest, NotFound
from rootless.runtime import attach as protocol
from rootless.runtime import container as store
from rootless.runtime import monitor
from rootless.runtime.health import HealthOptions
from rootless.runtime.journal import note_container
from rootless.runtime.relay import own_size
from rootless.runtime.restart import parse_policy
from rootless.runtime.session import DETACH_KEYS, Session
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from _socket import socket

    from rootless.engine import Engine
    from rootless.engine.container_requests import StopRequest, WaitRequest
    from rootless.engine.prepared import Prepared
    from rootless.engine.requests import RunRequest, StartRequest
    from rootless.runtime.container import Container
    from rootless.runtime.session import Outcome


def run_monitored(
    engine: Engine, prepared: Prepared, request: RunRequest, *, lifeline: int = -1
) -> int | None:
    """Start the container under a monitor; its exit code, or None when it goes on without us."""
    if request.detach:
        launch(engine, prepared, lifeline=lifeline)
        return None
    ours, theirs = _pair()
    launch(engine, prepared, (ours, theirs))
    theirs.close()
    outcome = _session(
        prepared.container,
        ours,
        terminal=prepared.plan.process.terminal,  # it may be gone by now, with its documents
        interactive=request.interactive,
        detach_keys=request.detach_keys,
        sig_proxy=request.sig_proxy,
    ).run()
    return code_of(prepared.container, outcome)


def _pair() -> tuple[socket, socket]:
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socketpair

    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)


def launch(
    engine: Engine,
    prepared: Prepared,
    pair: tuple[socket, socket] | None = None,
    *,
    lifeline: int = -1,
    hold: bool = False,
) -> None:
    """Start a monitor for the container; returns when the program runs.  Raises LaunchFailed.

    With ``hold`` it returns when all is there but the program, which ``start`` starts then.

    ``pair`` is a connection that is attached before anything is written: our end and the monitor's.
    The container ends when the other end of the descriptor ``lifeline`` is closed.
    """
    container = prepared.container
    if container.record.get("stopped"):
        store.update_record(container, {"stopped": False})
    alive = container.hold() if prepared.alive < 0 else prepared.alive
    try:
        watch = watch_of(engine, prepared, alive=alive)._replace(
            pair=pair, lifeline=lifeline, hold=hold, size=own_size() if pair is not None else b""
        )
    except BaseException:
        container.let_go(alive)
        raise
    monitor.spawn(watch)


def watch_of(engine: Engine, prepared: Prepared, *, alive: int) -> monitor.Watch:
    """What the container's monitor is told; ``alive`` holds the container's lock."""
    container = prepared.container
    settings = container.record["settings"]
    network = prepared.network._replace(directory=container.run_directory)
    return monitor.Watch(
        container=container,
        alive=alive,
        plan=prepared.plan,
        start_network=lambda pid: prepared.backend.start(pid, network),
        cgroup=make_cgroup(engine, container.record),
        finish=(lambda: finish(engine, container)) if container.record["auto_remove"] else None,
        log=log_options(settings),
        health=_health_of(container),
        plan_exec=lambda pid, args: plan_of(
            engine, container, ExecRequest(container.id, args), pid=pid
        ),
        pidfile=settings.get("pidfile"),
        restart=parse_policy(settings.get("restart")),
        interactive=bool(settings.get("interactive")),
        timeout_s=float(settings.get("timeout") or 0),
        engine="rootless.engine.standby",
        sdnotify=settings.get("sdnotify") or container.record["launch"].get("notify", "ignore"),
        detached=bool(settings.get("detach")),
    )


def finish(engine: Engine, container: Container) -> None:
    """Remove a container that removes itself, and has ended for good."""
    drop(engine, container)


def _health_of(container: Container) -> HealthOptions | None:
    stored = container.record.get("health")
    if stored is None:
        return None
    options = HealthOptions(**stored)
    return options._replace(test=tuple(options.test))  # JSON knows no tuples


def _session(
    container: Container,
    endpoint: socket,
    *,
    terminal: bool,
    interactive: bool,
    detach_keys: str | None,
    sig_proxy: bool,
) -> Session:
    def forward(number: int) -> None:
        signal_init(container, number)

    return Session(
        endpoint,
        terminal=terminal,
        interactive=interactive,
        detach_keys=DETACH_KEYS if detach_keys is None else detach_keys,
        send_signal=forward if sig_proxy else None,
    )


def code_of(container: Container, outcome: Outcome) -> int:
    """The exit code of a container whose session has ended."""
    if outcome.detached:
        return 0
    # Its monitor says the code, and hangs up, a moment before all is put away.
    wait_for_end(container, 10)
    if outcome.code is not None:
        return outcome.code
    if os.path.exists(container.alive_lock):  # the monitor was killed, and the container with it
        return 128 + signal.SIGKILL
    try:
        last = store.load(container.paths, container.id).record.get("last", {})
    except NotFound:
        last = {}
    return last.get("exit_code", 137)


def start(engine: Engine, request: StartRequest) -> tuple[list[str], int]:
    """Start stopped containers; the names as they go, and the exit code of an attached one."""
    code = 0
    for name in request.containers:
        container = store.find(engine.paths, name)
        if container.status() == store.INITIALIZED:
            code = _start_held(container, request)
            continue
        if container.state() is not None:
            continue
        prepared = _once_more(engine, container)
        if not request.attach:
            launch(engine, prepared)
            continue
        ours, theirs = _pair()
        launch(engine, prepared, (ours, theirs))
        theirs.close()
        session = _session(
            container,
            ours,
            terminal=prepared.plan.process.terminal,
            interactive=request.interactive,
            detach_keys=request.detach_keys,
            sig_proxy=request.sig_proxy,
        )
        code = code_of(container, session.run())
    return list(request.containers), code


def init(engine: Engine, name: str) -> None:
    """Set up everything of a container but its program (``podman init``).  Raises Conflict for one that runs."""
    container = store.find(engine.paths, name)
    status = container.status()
    if container.state() is not None:
        raise Conflict(f"container {container.name} is {status}, so it cannot be initialized")
    launch(engine, _once_more(engine, container), hold=True)


def _start_held(container: Container, request: StartRequest) -> int:
    """Let the program of an initialized container run; the exit code where it is attached to."""
    session = None
    if request.attach:
        session = _session(
            container,
            connect(container, protocol.WANTS_OUTPUT | protocol.GIVES_INPUT),
            terminal=_has_terminal(container),
            interactive=request.interactive,
            detach_keys=request.detach_keys,
            sig_proxy=request.sig_proxy,
        )
    _ask_to_start(container)
    return code_of(container, session.run()) if session is not None else 0


def _ask_to_start(container: Container) -> None:
    """Returns when the program runs.  Raises LaunchFailed; Conflict where the container ends before."""
    endpoint = connect(container, 0)
    try:
        endpoint.send(protocol.frame(protocol.START, b""))
        buffer = bytearray()
        while content := endpoint.recv(1 << 16):
            buffer += content
            for kind, answer in protocol.split(buffer):
                if kind == protocol.STARTED:
                    return
                if kind == protocol.REFUSED:
                    monitor.raise_answer(answer)
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        endpoint.close()
    raise Conflict(f"container {container.name} ended before its program was started")


def _once_more(engine: Engine, container: Container) -> Prepared:
    """Ready to be launched again, with nothing left of a life whose monitor was killed, cgroup included."""
    if os.path.exists(container.run_directory):
        from rootless.engine.sweep import bury

        bury(engine, container)
        container = store.find(engine.paths, container.id)  # one with --rm has gone by this
    return prepare(engine, container)


def _has_terminal(container: Container) -> bool:
    return container.spec()["process"].get("terminal", False)


def attach(
    engine: Engine,
    name: str,
    *,
    no_stdin: bool = False,
    detach_keys: str | None = None,
    sig_proxy: bool = True,
) -> int:
    """Join our streams to a running container; its exit code, or 0 after the detach keys."""
    container = store.find(engine.paths, name)
    endpoint = connect(container, protocol.WANTS_OUTPUT | protocol.GIVES_INPUT)
    note_container(engine.paths, container.record, "attach")
    interactive = bool(container.record["settings"].get("interactive")) and not no_stdin
    session = _session(
        container,
        endpoint,
        terminal=_has_terminal(container),
        interactive=interactive,
        detach_keys=detach_keys,
        sig_proxy=sig_proxy,
    )
    return code_of(container, session.run())


def connect(container: Container, flags: int) -> socket:
    """A connection to the container's monitor.  Raises Conflict when there is none."""
    try:
        endpoint = protocol.connect(f"{container.run_directory}/attach.sock")
    except (FileNotFoundError, ConnectionRefusedError):
        if container.state() is None:
            raise Conflict(
                f"container {container.name} is not running",
                hint=f"rootless start {container.name}",
            ) from None
        raise Conflict(
            f"container {container.name} runs in the foreground of another command",
            hint="run it with -d to attach to it",
        ) from None
    endpoint.send(protocol.frame(protocol.HELLO, bytes([flags])))
    return endpoint


def restart(engine: Engine, request: StopRequest) -> list[str]:
    """Stop and start containers."""
    for name in request.containers:
        container = store.find(engine.paths, name)
        if container.state() is not None:
            stop_one(container, signal_name=request.signal, grace_s=request.time)
        launch(engine, _once_more(engine, container))
        note_container(engine.paths, container.record, "restart")
    return list(request.containers)


def wait(engine: Engine, request: WaitRequest) -> list[int]:
    """Wait for containers to end, or for one of the conditions; their exit codes, -1 while they run.

    Raises InvalidRequest for an unknown condition.
    """
    unknown = [each for each in request.condition if each not in CONDITIONS]
    if unknown:
        raise InvalidRequest(
            f"unknown condition {unknown[0]!r}", hint="one of " + ", ".join(sorted(CONDITIONS))
        )
    from rootless.engine.containers import bury_the_dead
    from rootless.engine.waiting import wait_for

    bury_the_dead(engine)
    codes = []
    for name in request.containers:
        container = store.find(engine.paths, name)
        # Its monitor says the code of one with --rm, and nobody can look it up later.
        passing = container.record["auto_remove"] and container.state() is not None
        ended = ENDED | {"next-exit"} if passing else ENDED
        by_monitor = set(request.condition) <= ended
        codes.append(_wait_one(container) if by_monitor else wait_for(engine, name, request))
    return codes


def _wait_one(container: Container) -> int:
    """Wait for its end; its exit code, 0 where it never ran."""
    from rootless.runtime.session import Session

    try:
        endpoint = connect(container, 0)
    except Conflict:
        wait_for_end(container, None)
        if store.load(container.paths, container.id).status() == "created":
            return 0
        return code_of(container, _nothing())
    return code_of(container, Session(endpoint, terminal=False, interactive=False).run())


def _nothing() -> Outcome:
    from rootless.runtime.session import Outcome

    return Outcome(None)
