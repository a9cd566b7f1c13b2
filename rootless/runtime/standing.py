"""MONITOR: standing by a container that runs - its streams, log, clients and clocks, until it ends.

Two programs do this, one after the other in the same process: the one that launched the container and,
a moment later, the small interpreter that it becomes (standby.py).  That one lives as long as the
container, so what is imported here is what every container costs.
"""

from __future__ import annotations

import os
import select
import struct
import time

from rootless.lean import signal
from rootless.runtime import attach, end_of_input
from rootless.runtime.clients import HIGH_WATER, Clients
from rootless.runtime.log import LogOptions, open_writer
from rootless.runtime.restart import RestartPolicy
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from rootless.network.backend import Link
    from rootless.network.kept import KeptLink
    from rootless.runtime.container import State
    from rootless.runtime.health import Health

_CHUNK = 1 << 16
_RESTART_ONCE = RestartPolicy("always")
_GLANCE_S = 1.0  # how often to look for _STOP_FILE while clients are behind
_PATIENCE_S = 5.0  # how long they may be behind after that
_STOP_FILE = "stop"  # its presence says that somebody asked for the end


class Place(NamedTuple):
    """Where a container is: its id, its directories, and the descriptor that holds its lock."""

    id: str
    bundle: str
    run_directory: str
    alive: int


class Standing:
    """Serves one container; what is not a plain value is made anew in the next program.

    ``finish`` is called when all has ended.
    """

    def __init__(
        self,
        place: Place,
        listener: socket,
        *,
        log: LogOptions,
        restart: RestartPolicy,
        cgroup: str,
        finish: Callable[[], None] | None,
    ):
        self.place = place
        self.log_options = log
        self.restart = restart
        self.cgroup = cgroup
        self.finish = finish
        self.clients = Clients(listener, self._queue_input, self._resize, self._want_start)
        self.log = open_writer(place.bundle, log)
        self.streams: dict[int, int] = {}  # descriptor to read from: 1 or 2
        self.stdin = -1
        self.to_stdin = bytearray()
        self.stdin_ends = False
        self.repeat = end_of_input.NEVER  # when a terminal's end of input is to be said again
        self.pid = 0
        self.terminal = -1
        self.link: Link | KeptLink | None = None
        self.lifeline = -1  # readable when whoever wanted the container has gone
        self.notify: socket | None = None  # where the program says that it is ready
        self.main_pid = 0  # what a service manager should watch then
        self.network_fds: tuple[int, ...] = ()  # to watch, while the network works
        self.deadline = 0.0
        self.restarts = 0
        self.oom_kills = 0  # what the cgroup has counted in earlier runs
        self.again = False  # an unhealthy container is to be started anew, whatever its policy
        self.held = False  # all is there but the program, which waits for somebody's word
        self.health: Health | None = None
        self.started = ""  # RFC 3339
        self.began = 0.0  # the same on the monotonic clock
        self.settle_at = 0.0
        self.on_settled: Callable[[], None] | None = None  # called once, at that time

    def stand_by(self) -> int:
        """Until the container ends; its exit code, which is recorded."""
        self.serve()
        code = self._reap()
        self._remember(code)
        return code

    def hold(self) -> bool:
        """Serve until somebody wants the program to start; False where the container ends before."""
        self.held = True
        self.serve()
        held, self.held = self.held, False
        return not held

    def _want_start(self) -> None:
        if self.held:
            self.held = False
        else:
            self.clients.send(attach.STARTED, b"")

    def goes_on(self, code: int) -> bool:
        """Whether the container is to be started again; returns at the time for it."""
        stopped = self.is_stopped()
        policy = _RESTART_ONCE if self.again and not stopped else self.restart
        self.again = False
        ran = time.monotonic() - self.began
        delay = policy.delay(code, stopped=stopped, restarts=self.restarts, ran_s=ran)
        if delay is None:
            return False
        self.restarts += 1
        self.write_state({"status": "restarting", "monitor": os.getpid()})
        until = time.monotonic() + delay
        while time.monotonic() < until and not self.is_stopped():
            self.serve(until=min(until, time.monotonic() + 0.1))
        return not self.is_stopped()

    def is_stopped(self) -> bool:
        """Whether somebody asked for the end."""
        return os.path.exists(f"{self.place.run_directory}/{_STOP_FILE}")

    def mark_stopped(self) -> None:
        """Ask for the end: no restart policy undoes it."""
        with open(f"{self.place.run_directory}/{_STOP_FILE}", "w"):
            pass

    def stop_by_signal(self) -> None:
        """SIGTERM to the monitor (logout, shutdown) is a request to stop the container."""
        self.mark_stopped()
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Signal init, which may be gone."""
        try:
            if self.pid:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def write_state(self, state: State) -> None:
        """Replace state.json."""
        from rootless.runtime import container

        container.put_state(self.place.run_directory, state)

    def change_state(self, changes: State) -> None:
        """Replace some fields of state.json as it is now: others are written elsewhere in this process."""
        from rootless.runtime import container

        state = container.read_state(self.place.run_directory)
        state.update(changes)
        self.write_state(state)

    def serve(self, until: float | None = None) -> None:
        """Move bytes until init ends or a held one is to start; while there is none, until the given time."""
        pidfd = os.pidfd_open(self.pid) if until is None else -1
        held = self.held
        try:
            while True:
                ready = self._wait(pidfd, until)
                if pidfd >= 0 and pidfd in ready:
                    return
                for fd, events in ready.items():
                    self._serve_one(fd, events)
                self._check_clocks()
                if self.held != held or (until is not None and time.monotonic() >= until):
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
        for fd in (*self.network_fds, self.lifeline, self.notify_fd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        for fd in self.health.fds if self.health is not None else ():
            poll.register(fd, select.POLLIN)
        self.clients.poll_for(poll.register, reading=len(self.to_stdin) < HIGH_WATER)
        return dict(poll.poll(self._milliseconds(until)))

    def _milliseconds(self, until: float | None) -> int | None:
        """How long to sleep: until the next thing that a clock makes happen."""
        settle = self.settle_at if self.on_settled is not None else 0.0
        times = [
            each for each in (until, self.deadline or None, settle or None) if each is not None
        ]
        if self.health is not None:
            times.append(self.health.next_time)
        if self.repeat != end_of_input.NEVER:
            times.append(self.repeat[0])
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
        if fd == self.lifeline:
            self._follow_owner()
            return
        if self.notify is not None and fd == self.notify_fd:
            from rootless.runtime import notify

            notify.pass_on(self.notify, self.main_pid)
            return
        if events & select.POLLOUT:
            self._write_input(fd)
        if fd in self.streams and events & ~select.POLLOUT:
            self._read_output(fd)

    def _check_clocks(self) -> None:
        now = time.monotonic()
        if self.deadline and now >= self.deadline:
            self.deadline = 0.0
            self.send_signal(signal.SIGKILL)
        if end_of_input.is_due(self.repeat, now):
            self.repeat = end_of_input.following(self.repeat, now)
            self.to_stdin += b"" if self.to_stdin else end_of_input.END_OF_INPUT
        if self.health is not None:
            self.health.check(self.pid)
        settled = self.on_settled
        if settled is not None and now >= self.settle_at:
            self.on_settled = None
            settled()

    @property
    def notify_fd(self) -> int:
        """The descriptor of ``notify``, or -1."""
        return -1 if self.notify is None else self.notify.fileno()

    def _follow_owner(self) -> None:
        """Nobody wants the container any more, and nobody is there to wait for a gentle end."""
        os.close(self.lifeline)
        self.lifeline = -1
        self.mark_stopped()
        self.send_signal(signal.SIGKILL)

    def _report_network(self) -> None:
        """A network helper has ended: say so where people look, once."""
        from rootless.runtime import container

        reason = self.link.broken() if self.link is not None else None
        if reason is not None:
            self.network_fds = ()
            network = container.read_state(self.place.run_directory)["network"]
            self.change_state({"network": {**network, "broken": reason}})
            end = "\n" if self.terminal < 0 else "\r\n"
            self.clients.send(attach.STDERR, f"Warning: {reason}{end}".encode())

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
            self.repeat = end_of_input.NEVER
        else:
            self.stdin_ends = True
            if self.terminal >= 0:
                self.to_stdin += end_of_input.END_OF_INPUT
                self.repeat = end_of_input.first(time.monotonic())
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

    def _reap(self) -> int:
        """Collect init; by then every process of its pid namespace is gone, so the pipes end."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        self.on_settled = None
        self.deadline = 0.0
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
        self.close_network()
        _reap_others()
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def close_network(self) -> None:
        """Take the network down, if there is one."""
        self.network_fds = ()
        if self.link is not None:
            self.link.close()
            self.link = None

    def _let_clients_catch_up(self, *, to_the_end: bool = False) -> None:
        """Wait for clients that are behind: as long as they like, unless the end was asked for."""
        patience = float("inf")
        while self.clients.waiting if to_the_end else self.clients.full:
            if self.is_stopped():
                patience = min(patience, time.monotonic() + _PATIENCE_S)
            if time.monotonic() > patience:
                self.clients.drop_all()
            for fd, events in self._wait(-1, time.monotonic() + _GLANCE_S).items():
                if self.clients.owns(fd):
                    self.clients.serve(fd, events)

    def _remember(self, code: int) -> None:
        from rootless.paths import discover
        from rootless.runtime import container
        from rootless.runtime.journal import note_container
        from rootless.runtime.restart import parse_policy

        last: container.Exit = {
            "started": self.started,
            "finished": container.timestamp(),
            "exit_code": code,
            "oom_killed": self._was_out_of_memory(),
            "restarts": self.restarts,
        }
        record = container.note_end(self.place.bundle, last)
        if record is None:  # somebody has removed it
            return
        self.restart = parse_policy(record["settings"].get("restart"))  # update may have changed it
        if last["oom_killed"]:
            note_container(discover(), record, "oom")
        note_container(discover(), record, "died", containerExitCode=code)

    def _was_out_of_memory(self) -> bool:
        """By the kernel's count, or by the word of a watchdog (best_effort.py)."""
        from rootless.runtime.cgroup import Cgroup
        from rootless.runtime.container import OOM

        try:
            os.unlink(f"{self.place.run_directory}/{OOM}")
        except FileNotFoundError:
            if not self.cgroup:
                return False
            before, self.oom_kills = self.oom_kills, Cgroup(self.cgroup).oom_kills()
            return self.oom_kills > before
        return True

    def end(self, code: int) -> int:
        """Tell the clients, take the run-time state away, let go of the lock.

        What the monitor is to exit with, for a service manager that restarts on failure: the
        container's own code, but 0 where somebody asked for its end.
        """
        from rootless import files
        from rootless.runtime.cgroup import Cgroup

        status = 0 if self.is_stopped() else code
        self.clients.send(attach.EXIT, struct.pack(">i", code))
        self._let_clients_catch_up(to_the_end=True)
        self.clients.close()
        if self.cgroup:
            Cgroup(self.cgroup).remove()
        if self.finish is not None:
            self.finish()  # first: killed in between, a sweep still knows what to do
        files.remove_but_open(self.place.run_directory)
        os.close(self.place.alive)
        return status


def _reap_others() -> None:
    """Collect orphans that have become our children: network helpers, the FUSE server."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
