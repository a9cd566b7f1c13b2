"""MONITOR: launches one detached container and, where its restart policy says so, launches it again.

The container dies with it; it holds ``alive.lock``, so everybody knows.  What it does while the
container runs is in standing.py.
"""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.errors import RootlessError
from rootless.kernel import process
from rootless.lean import signal
from rootless.runtime import attach, end_of_input, launch, notify
from rootless.runtime import container as store
from rootless.runtime.health import Health, HealthOptions
from rootless.runtime.journal import note_container
from rootless.runtime.relay import set_size
from rootless.runtime.standing import Place, Standing
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from rootless.network.backend import Attachment, Link
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.container import Container
    from rootless.runtime.log import LogOptions
    from rootless.runtime.plan import LaunchPlan
    from rootless.runtime.restart import RestartPolicy

# A short run need not pay for what saves memory in a long one.
_SETTLED_S = 0.3
_LENGTH_BYTES = 4


class Watch(NamedTuple):
    """What a monitor is told.

    ``start_network`` connects a process and returns the link;
    ``finish`` is called when all has ended (it removes a container run with --rm).
    """

    container: Container
    alive: int  # holds the container's lock; becomes the monitor's
    plan: LaunchPlan
    start_network: Callable[[int], Link]
    cgroup: Cgroup | None
    finish: Callable[[], None] | None
    log: LogOptions
    restart: RestartPolicy
    pair: tuple[socket, socket] | None = None  # the caller's end of a first client, and ours
    lifeline: int = -1  # the container ends when the other end of this descriptor is closed
    interactive: bool = False
    timeout_s: float = 0
    size: bytes = b""  # of the caller's terminal, for the container's before its program looks
    pidfile: str | None = None
    health: HealthOptions | None = None
    plan_exec: Callable[[int, tuple[str, ...]], LaunchPlan] | None = None
    sdnotify: str = "ignore"  # who says READY=1: container, conmon, healthy, ignore
    detached: bool = True  # then the monitor is what a service manager should watch
    hold: bool = False  # the program waits until somebody wants it to start
    engine: str = ""  # the module that goes on with it (standby.py), by name


def spawn(watch: Watch) -> None:
    """Fork the monitor and return when the program runs.  Raises what kept it from running."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            if watch.pair is not None:
                watch.pair[0].close()  # held here it would hide that the caller has gone
            _detach()
            Monitor(watch, write_end).run()
        finally:
            os._exit(125)
    os.close(write_end)
    os.close(watch.alive)
    with open(
        read_end, "rb"
    ) as stream:  # a program that is held has its other end, so no end of file comes
        length = int.from_bytes(stream.read(_LENGTH_BYTES))
        answer = stream.read(length)
    os.waitpid(pid, 0)
    if not answer:
        raise RootlessError("the container's monitor ended before the container ran")
    raise_answer(answer)


def raise_answer(answer: bytes) -> None:
    """Raise what a monitor says that it could not do, unless it could."""
    import marshal

    kind, message, hint, code = marshal.loads(answer)
    if kind != "running":
        from rootless import errors

        raised: RootlessError = getattr(errors, kind)(message, hint=hint, exit_code=code)
        raise raised


def _detach() -> None:
    """Leave the caller's session, terminal, streams and directory; be nobody's child."""
    os.setsid()
    if os.fork():
        os._exit(0)
    process.set_name("rootless:[mon]")
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


class Monitor:
    """Runs one container, again where its restart policy says so, until its end."""

    def __init__(self, watch: Watch, status: int, standing: Standing | None = None):
        self.watch = watch
        self.container = watch.container
        self.status = status  # where the caller waits to hear that the program runs
        self.health_status = ""
        self.hold = watch.hold
        self.standing = standing or self._stand()

    def _stand(self) -> Standing:
        watch, container = self.watch, self.container
        standing = Standing(
            Place(container.id, container.bundle, container.run_directory, watch.alive),
            attach.listen(f"{container.run_directory}/attach.sock"),
            log=watch.log,
            restart=watch.restart,
            cgroup=watch.cgroup.path if watch.cgroup is not None else "",
            finish=watch.finish,
        )
        standing.lifeline = watch.lifeline
        standing.main_pid = os.getpid() if watch.detached else 0
        if watch.sdnotify == "container":  # also when nobody listens any more: it is mounted
            standing.notify = notify.listen(f"{container.run_directory}/notify.sock")
        if watch.pair is not None:
            standing.clients.adopt(watch.pair[1])
        return standing

    def run(self) -> NoReturn:
        """Until the end; never returns."""
        code = 125
        try:
            signal.signal(signal.SIGTERM, lambda *_: self.standing.stop_by_signal())
            code = self._run_once()
            while self.standing.goes_on(code):
                code = self._run_once()
        except RootlessError as error:
            self._answer(type(error).__name__, error.message, error.hint, error.exit_code)
            code = error.exit_code
        finally:
            os._exit(self.standing.end(code))

    def _run_once(self) -> int:
        self.standing.started = store.timestamp()
        self.standing.began = time.monotonic()
        stdio = self._make_streams()
        try:
            created = launch.create(
                self.watch.plan,
                stdio,
                cgroup=self.watch.cgroup,
                attach=self._attach_network,
            )
        finally:
            for fd in set(stdio):
                os.close(fd)
        self.standing.pid = created.pid
        if self.watch.cgroup is not None and self.standing.cgroup != self.watch.cgroup.path:
            self.standing.cgroup = self.watch.cgroup.path  # a scope has its place only now
            self.standing.oom_kills = 0
        if not self._let_start(created):
            return self.standing.stand_by()
        if self.watch.pidfile:
            files.write_atomic(self.watch.pidfile, f"{created.pid}\n".encode(), mode=0o644)
        if self.watch.sdnotify == "conmon":
            self._say_ready()
        self._answer("running", "", None, 0)
        self._start_clocks()
        return self.standing.stand_by()

    def _let_start(self, created: launch.Created) -> bool:
        """Let the program run once the network is there; False where it ended while it was held."""
        standing, link = self.standing, self.standing.link
        try:
            if created.terminal >= 0:
                standing.terminal = created.terminal
                set_size(created.terminal, self.watch.size)
                standing.streams = {created.terminal: 1}
            attachment = link.wait() if link is not None else None  # type: ignore[union-attr]  # a new one
            self._write_state(attachment)
            standing.network_fds = link.fds() if link is not None else ()
            if self.hold and not self._held():
                created.channel.close()
                return False
            launch.start(created)
            store.note_begin(self.container.bundle)
            self._note("start")
        except BaseException:
            launch.kill(created.pid)
            standing.pid = 0
            standing.close_network()
            raise
        return True

    def _held(self) -> bool:
        """Wait for somebody who wants the program to start; False where the container ended before."""
        self.hold = False  # another life after this one is not held
        self.standing.change_state({"status": "initialized"})
        self._note("init")
        self._answer("running", "", None, 0)
        if not self.standing.hold():
            return False
        self.standing.started = store.timestamp()
        self.standing.began = time.monotonic()
        self.standing.change_state({"status": "running", "started": self.standing.started})
        return True

    def _start_clocks(self) -> None:
        standing = self.standing
        if self.watch.timeout_s:
            standing.deadline = time.monotonic() + self.watch.timeout_s
        standing.settle_at = time.monotonic() + _SETTLED_S
        standing.on_settled = self._become_small
        self.health_status = "starting"
        options, plan_exec = self.watch.health, self.watch.plan_exec
        if options is None or plan_exec is None:
            return

        standing.health = Health(
            options,
            lambda pid: plan_exec(pid, options.test),
            self._note_health,
            self._on_unhealthy,
            cgroup=standing.cgroup,
        )

    def _note_health(self, document: dict[str, Any]) -> None:
        if document["Status"] != self.health_status:
            self.health_status = document["Status"]
            self._note("health_status", health_status=self.health_status)
            if self.watch.sdnotify == "healthy" and self.health_status == "healthy":
                self._say_ready()
        self.standing.change_state({"health": document})

    def _say_ready(self) -> None:
        main = self.standing.main_pid
        notify.tell("READY=1", *([f"MAINPID={main}"] if main else []))

    def _note(self, action: str, **attributes: object) -> None:
        note_container(self.container.paths, self.container.record, action, **attributes)

    def _become_small(self) -> None:
        from rootless.runtime import standby

        standby.become(self.standing, self.watch.engine)

    def _on_unhealthy(self) -> None:
        action = self.watch.health.on_failure if self.watch.health else "none"
        if action == "none":
            return
        if action != "restart":
            self.standing.mark_stopped()
        elif self.watch.restart.name == "no":
            self.standing.again = True
        self.standing.send_signal(signal.SIGTERM if action == "stop" else signal.SIGKILL)

    def _make_streams(self) -> tuple[int, int, int]:
        """Pipes for init, or nothing where a terminal replaces them; theirs as a tuple."""
        standing = self.standing
        standing.stdin_ends = False
        standing.repeat = end_of_input.NEVER
        if self.watch.plan.process.terminal:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            return null, null, null
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        standing.streams = {out_read: 1, err_read: 2}
        if not self.watch.interactive:
            return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), out_write, err_write
        in_read, standing.stdin = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(standing.stdin, False)
        return in_read, out_write, err_write

    def _attach_network(self, pid: int) -> None:
        self.standing.link = self.watch.start_network(pid)

    def _write_state(self, attachment: Attachment | None) -> None:
        pid = self.standing.pid
        state: store.State = {
            "pid": pid,
            "start_time": store.process_start_time(pid),
            "started": self.standing.started,
            "status": "running",
            "monitor": os.getpid(),
            "cgroup": self.standing.cgroup,
        }
        if attachment is not None:
            state["network"] = attachment._asdict()
        self.standing.write_state(state)

    def _answer(self, kind: str, message: str, hint: str | None, code: int) -> None:
        """Tell the caller of ``spawn``, once, and after that whoever wanted a held program to start."""
        import marshal

        answer = marshal.dumps((kind, message, hint, code))
        if self.status < 0:
            running = kind == "running"
            self.standing.clients.send(
                *((attach.STARTED, b"") if running else (attach.REFUSED, answer))
            )
            return
        files.write_all(self.status, len(answer).to_bytes(_LENGTH_BYTES) + answer)
        os.close(self.status)
        self.status = -1
