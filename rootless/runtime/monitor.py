"""MONITOR: the process that stands by one detached container - its streams, log, clients and end.

It launches the container, so the container dies with it; it holds ``alive.lock``, so everybody knows.
"""

from __future__ import annotations

import os
import select
import struct
import time

from rootless import files
from rootless.errors import RootlessError
from rootless.kernel import process
from rootless.lean import signal
from rootless.runtime import attach, launch, supervise
from rootless.runtime import container as store
from rootless.runtime.clients import HIGH_WATER, Clients
from rootless.runtime.health import Health, HealthOptions
from rootless.runtime.journal import note_container
from rootless.runtime.log import LogOptions, LogWriter
from rootless.runtime.relay import set_size
from rootless.runtime.restart import RestartPolicy
from rootless.typed import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from rootless.network.backend import Attachment, Link
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.container import Container
    from rootless.runtime.plan import LaunchPlan

RESTART_ONCE = RestartPolicy("always")
_CHUNK = 1 << 16
_GLANCE_S = 1.0  # how often to look for _STOP_FILE while clients are behind
_PATIENCE_S = 5.0  # how long they may be behind after that
_STOP_FILE = "stop"  # its presence says that somebody asked for the end


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
    finish: Callable[[], None]
    pair: tuple[socket, socket] | None  # the caller's end of a first client, and ours
    log: LogOptions
    restart: RestartPolicy
    interactive: bool = False
    timeout_s: float = 0
    size: bytes = b""  # of the caller's terminal, for the container's before its program looks
    pidfile: str | None = None
    health: HealthOptions | None = None
    plan_exec: Callable[[int, tuple[str, ...]], LaunchPlan] | None = None


def spawn(watch: Watch) -> None:
    """Fork the monitor and return when the program runs.  Raises what kept it from running."""
    import marshal

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
    with open(read_end, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    if not answer:
        raise RootlessError("the container's monitor ended before the container ran")
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

    def __init__(self, watch: Watch, status: int):
        self.watch = watch
        self.container = watch.container
        self.status = status  # where the caller waits to hear that the program runs
        self.log: LogWriter | None = None
        self.streams: dict[int, int] = {}  # descriptor to read from: 1 or 2
        self.stdin = -1
        self.to_stdin = bytearray()
        self.stdin_ends = False
        self.pid = 0
        self.terminal = -1
        self.link: Link | None = None
        self.network_fds: tuple[int, ...] = ()  # to watch, while the network works
        self.deadline = 0.0
        self.restarts = 0
        self.again = False  # an unhealthy container is to be started anew, whatever its policy
        self.state: store.State = {}
        self.health: Health | None = None

    def run(self) -> NoReturn:
        """Until the end; never returns."""
        code = 125
        try:
            self.clients = Clients(
                attach.listen(f"{self.container.run_directory}/attach.sock"),
                self._queue_input,
                self._resize,
            )
            if self.watch.pair is not None:
                self.clients.adopt(self.watch.pair[1])
            signal.signal(signal.SIGTERM, lambda *_: self._stop_by_signal())
            if self.watch.log.driver not in ("none", "journald"):
                self.log = LogWriter(f"{self.container.bundle}/log", self.watch.log)
            code = self._run_until_policy_ends()
        except RootlessError as error:
            self._answer(type(error).__name__, error.message, error.hint, error.exit_code)
            code = error.exit_code
        finally:
            self._end(code)
            os._exit(0)

    def _run_until_policy_ends(self) -> int:
        while True:
            started = time.monotonic()
            code = self._run_once()
            stopped = self._is_stopped()
            policy = RESTART_ONCE if self.again and not stopped else self.watch.restart
            self.again = False
            delay = policy.delay(
                code, stopped=stopped, restarts=self.restarts, ran_s=time.monotonic() - started
            )
            if delay is None:
                return code
            self.restarts += 1
            store.write_state(self.container, {"status": "restarting", "monitor": os.getpid()})
            if not self._back_off(delay):
                return code

    def _back_off(self, delay: float) -> bool:
        """Serve clients for that many seconds; False when somebody asks for the end meanwhile."""
        until = time.monotonic() + delay
        while time.monotonic() < until and not self._is_stopped():
            self._serve(until=min(until, time.monotonic() + 0.1))
        return not self._is_stopped()

    def _is_stopped(self) -> bool:
        return os.path.exists(f"{self.container.run_directory}/{_STOP_FILE}")

    def _run_once(self) -> int:
        started = store.timestamp()
        stdio = self._make_streams()
        try:
            created = launch.create(
                self.watch.plan,
                stdio,
                enter_cgroup=self.watch.cgroup.add if self.watch.cgroup is not None else None,
                attach=self._attach_network,
            )
        finally:
            for fd in set(stdio):
                os.close(fd)
        self.pid = created.pid
        try:
            if created.terminal >= 0:
                self.terminal = created.terminal
                set_size(self.terminal, self.watch.size)
                self.streams = {created.terminal: 1}
            attachment = self.link.wait() if self.link is not None else None
            self._write_state(started, attachment)
            self.network_fds = self.link.fds() if self.link is not None else ()
            launch.start(created)
            self._note("start")
        except BaseException:
            launch.kill(created.pid)
            self._close_network()
            raise
        if self.watch.pidfile:
            files.write_atomic(self.watch.pidfile, f"{self.pid}\n".encode(), mode=0o644)
        self._answer("running", "", None, 0)
        self._start_health()
        if self.watch.timeout_s:
            self.deadline = time.monotonic() + self.watch.timeout_s
        self._serve()
        code = self._reap()
        self._remember(started, code)
        self._note("died", containerExitCode=code)
        return code

    def _start_health(self) -> None:
        options, plan_exec = self.watch.health, self.watch.plan_exec
        if options is None or plan_exec is None:
            return

        def changed(document: dict[str, object]) -> None:
            before = self.state.get("health", {}).get("Status", "starting")
            if document["Status"] != before:
                self._note("health_status", health_status=document["Status"])
            self.state["health"] = document
            store.write_state(self.container, self.state)

        self.health = Health(
            options, lambda pid: plan_exec(pid, options.test), changed, self._on_unhealthy
        )

    def _on_unhealthy(self) -> None:
        action = self.watch.health.on_failure if self.watch.health else "none"
        if action == "none":
            return
        if action != "restart":
            self._mark_stopped()
        elif self.watch.restart.name == "no":
            self.again = True
        number = signal.SIGTERM if action == "stop" else signal.SIGKILL
        supervise.sender(self.pid)(number)

    def _make_streams(self) -> tuple[int, int, int]:
        """Pipes for init, or nothing where a terminal replaces them; theirs as a tuple."""
        self.stdin_ends = False
        if self.watch.plan.process.terminal:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            return null, null, null
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        self.streams = {out_read: 1, err_read: 2}
        if not self.watch.interactive:
            return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), out_write, err_write
        in_read, self.stdin = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.stdin, False)
        return in_read, out_write, err_write

    def _attach_network(self, pid: int) -> None:
        self.link = self.watch.start_network(pid)

    def _write_state(self, started: str, attachment: Attachment | None) -> None:
        self.state = {
            "pid": self.pid,
            "start_time": store.process_start_time(self.pid),
            "started": started,
            "status": "running",
            "monitor": os.getpid(),
            "cgroup": self.watch.cgroup.path if self.watch.cgroup is not None else "",
        }
        if attachment is not None:
            self.state["network"] = attachment._asdict()
        store.write_state(self.container, self.state)

    def _answer(self, kind: str, message: str, hint: str | None, code: int) -> None:
        """Tell the caller of ``spawn``, once."""
        import marshal

        if self.status < 0:
            return
        files.write_all(self.status, marshal.dumps((kind, message, hint, code)))
        os.close(self.status)
        self.status = -1

    def _serve(self, until: float | None = None) -> None:
        """Move bytes until init ends, or while there is none, until the given time."""
        pidfd = os.pidfd_open(self.pid) if until is None else -1
        try:
            while True:
                ready = self._wait(pidfd, until)
                if pidfd >= 0 and pidfd in ready:
                    return
                for fd, events in ready.items():
                    self._serve_one(fd, events)
                self._check_clocks()
                if until is not None and time.monotonic() >= until:
                    return
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def _wait(self, pidfd: int, until: float | None) -> dict[int, int]:
        poll = select.poll()
        if pidfd >= 0:
            poll.register(pidfd, select.POLLIN)
        if not self.clients.full:
            for fd in self.streams:
                poll.register(fd, select.POLLIN)
        sink = self.terminal if self.terminal >= 0 else self.stdin
        if sink >= 0 and self.to_stdin:
            events = select.POLLOUT
            if sink in self.streams and not self.clients.full:
                events |= select.POLLIN
            poll.register(sink, events)
        for fd in self.network_fds:
            poll.register(fd, select.POLLIN)
        for fd in self.health.fds if self.health is not None else ():
            poll.register(fd, select.POLLIN)
        self.clients.poll_for(poll.register, reading=len(self.to_stdin) < HIGH_WATER)
        return dict(poll.poll(self._milliseconds(until)))

    def _milliseconds(self, until: float | None) -> int | None:
        """How long to sleep: until the next thing that a clock makes happen."""
        times = [each for each in (until, self.deadline or None) if each is not None]
        if self.health is not None:
            times.append(self.health.next_time)
        if not times:
            return None
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1)

    def _serve_one(self, fd: int, events: int) -> None:
        if self.clients.owns(fd):
            self.clients.serve(fd, events)
            return
        if self.health is not None and fd in self.health.fds:
            self.health.serve(fd)
            return
        if fd in self.network_fds:
            self._report_network()
            return
        if events & select.POLLOUT:
            self._write_input(fd)
        if fd in self.streams and events & ~select.POLLOUT:
            self._read_output(fd)

    def _report_network(self) -> None:
        """A network helper has ended: say so where people look, once."""
        reason = self.link.broken() if self.link is not None else None
        if reason is not None:
            self.network_fds = ()
            self.state["network"]["broken"] = reason
            store.write_state(self.container, self.state)

    def _read_output(self, fd: int) -> bool:
        """Pass one chunk on; False when there was none."""
        try:
            content = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            content = b""
        if not content:
            if fd != self.terminal:
                os.close(fd)
            del self.streams[fd]
            return False
        stream = self.streams[fd]
        if self.log is not None:
            self.log.write(stream, content)
        self.clients.send(attach.STDOUT if stream == 1 else attach.STDERR, content)
        return True

    def _queue_input(self, content: bytes) -> None:
        if content:
            self.to_stdin += content
        else:
            self.stdin_ends = True
            if self.terminal >= 0:
                self.to_stdin += b"\x04"
            elif not self.to_stdin:
                self._close_stdin()

    def _write_input(self, fd: int) -> None:
        try:
            written = os.write(fd, self.to_stdin)
        except BlockingIOError:
            return
        except OSError:  # the program has closed its end
            self._close_stdin()
            return
        del self.to_stdin[:written]
        if self.stdin_ends and not self.to_stdin and fd == self.stdin:
            self._close_stdin()

    def _close_stdin(self) -> None:
        self.to_stdin.clear()
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def _resize(self, rows: int, columns: int) -> None:
        if self.terminal >= 0:
            from fcntl import ioctl
            from termios import TIOCSWINSZ

            ioctl(self.terminal, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _check_clocks(self) -> None:
        if self.deadline and time.monotonic() >= self.deadline:
            self.deadline = 0.0
            supervise.sender(self.pid)(signal.SIGKILL)
        if self.health is not None:
            self.health.check(self.pid)

    def _stop_by_signal(self) -> None:
        """SIGTERM to the monitor (logout, shutdown) is a request to stop the container."""
        self._mark_stopped()
        supervise.sender(self.pid)(signal.SIGTERM)

    def _mark_stopped(self) -> None:
        with open(f"{self.container.run_directory}/{_STOP_FILE}", "w"):
            pass

    def _reap(self) -> int:
        """Collect init; by then every process of its pid namespace is gone, so the pipes end."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        if self.health is not None:
            self.health.close()
            self.health = None
        for fd in list(self.streams):
            os.set_blocking(fd, False)
            while self._read_output(fd):
                self._let_clients_catch_up()
            if fd in self.streams and fd != self.terminal:
                os.close(fd)
        self.streams.clear()
        self._close_stdin()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        self._close_network()
        supervise.reap()
        return supervise.exit_status(status)

    def _close_network(self) -> None:
        self.network_fds = ()
        if self.link is not None:
            self.link.close()
            self.link = None

    def _let_clients_catch_up(self, *, to_the_end: bool = False) -> None:
        """Wait for clients that are behind: as long as they like, unless the end was asked for."""
        patience = float("inf")
        while self.clients.waiting if to_the_end else self.clients.full:
            if self._is_stopped():
                patience = min(patience, time.monotonic() + _PATIENCE_S)
            if time.monotonic() > patience:
                self.clients.drop_all()
            for fd, events in self._wait(-1, time.monotonic() + _GLANCE_S).items():
                if self.clients.owns(fd):
                    self.clients.serve(fd, events)

    def _remember(self, started: str, code: int) -> None:
        last: store.Exit = {
            "started": started,
            "finished": store.timestamp(),
            "exit_code": code,
            "oom_killed": self._was_out_of_memory(),
            "restarts": self.restarts,
        }
        store.update_record(self.container, {"last": last})
        if last["oom_killed"]:
            self._note("oom")

    def _note(self, action: str, **attributes: object) -> None:
        note_container(self.container.paths, self.container.record, action, **attributes)

    def _was_out_of_memory(self) -> bool:
        return self.watch.cgroup is not None and self.watch.cgroup.oom_kills() > 0

    def _end(self, code: int) -> None:
        """Tell the clients, take the run-time state away, let go of the lock."""
        self.clients.send(attach.EXIT, struct.pack(">i", code))
        self._let_clients_catch_up(to_the_end=True)
        self.clients.close()
        if self.watch.cgroup is not None:
            self.watch.cgroup.remove()
        self.watch.finish()  # first: killed in between, a sweep still knows what to do
        files.remove_tree(self.container.run_directory, missing_ok=True)
        os.close(self.watch.alive)
