"""MONITOR: health checks - the image's or the caller's test command, run on a clock of our own.

States and rules are docker's: ``starting`` until the first success or ``retries`` failures in a row
after the start period; 0 is healthy, anything else is not; a test that takes longer than its timeout
is killed and failed; the first 4096 bytes of its output are kept.
"""

from __future__ import annotations

import os
import time

from rootless.errors import RootlessError
from rootless.runtime import container as store
from rootless.runtime import launch, supervise
from rootless.runtime.joined_cgroup import JoinedCgroup
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.runtime.plan import LaunchPlan

_KEPT_OUTPUT = 4096
_KEPT_RESULTS = 5


class HealthOptions(NamedTuple):
    """HEALTHCHECK and ``--health-*``: times in seconds; ``on_failure`` none, kill, restart or stop."""

    test: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3
    on_failure: str = "none"


class Health:
    """The checks of one run of a container; the monitor's loop calls it."""

    def __init__(
        self,
        options: HealthOptions,
        plan: Callable[[int], LaunchPlan],
        changed: Callable[[dict[str, Any]], None],
        unhealthy: Callable[[], None],
        *,
        cgroup: str = "",
    ):
        """``cgroup`` is the container's: its limits hold for its checks, and while it is frozen there are none."""
        self._options = options
        self._plan = plan
        self._changed = changed
        self._unhealthy = unhealthy
        self._cgroup = cgroup
        self._started = time.monotonic()
        self._status = "starting"
        self._streak = 0
        self._results: list[dict[str, Any]] = []
        self._child = self._supervisor = 0
        self._begun = ""
        self._output = bytearray()
        self._output_fd = -1
        self._pidfd = -1
        self.next_time = self._started + self._pause()
        self._report()

    def _pause(self) -> float:
        in_start = time.monotonic() - self._started < self._options.start_period_s
        if in_start and self._status == "starting":
            return min(self._options.start_interval_s, self._options.interval_s)
        return self._options.interval_s

    @property
    def fds(self) -> tuple[int, ...]:
        """What to poll for reading while a check runs: its output, and its end."""
        return tuple(fd for fd in (self._output_fd, self._pidfd) if fd >= 0)

    def check(self, pid: int) -> None:
        """Begin a check, or end one that takes too long; ``pid`` is init's."""
        if time.monotonic() < self.next_time:
            return
        if self._cgroup and store.is_frozen(self._cgroup):
            self.next_time = time.monotonic() + self._pause()
        elif self._child:
            launch.kill(self._child)
            self._finish(-1, f"health check took longer than {self._options.timeout_s:g} s")
        elif pid:
            self._begin(pid)

    def serve(self, fd: int) -> None:
        """Take what the test printed, or its end: neither stands for the other.

        A test may close its output and go on, or leave a process with it behind (an image brings its own).
        """
        if fd == self._pidfd:
            _, status = os.waitpid(self._child, 0)
            self._read()
            self._finish(supervise.exit_status(status), self._output.decode(errors="replace"))
        elif fd == self._output_fd and not self._read():
            self._close_output()

    def _begin(self, pid: int) -> None:
        self._begun = store.timestamp()
        self._output.clear()
        self._output_fd, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.set_blocking(write_end, True)
            created = launch.create(
                self._plan(pid),
                (null, write_end, write_end),
                cgroup=JoinedCgroup(self._cgroup) if self._cgroup else None,
            )
            self._supervisor = created.supervisor
            launch.start(created)
        except (RootlessError, OSError) as error:
            self._finish(126, str(error))
            return
        finally:
            os.close(null)
            os.close(write_end)
        self._child = created.pid
        self._pidfd = os.pidfd_open(created.pid)
        self.next_time = time.monotonic() + self._options.timeout_s

    def _read(self) -> bool:
        """Take what is there; False at the end of the output."""
        if self._output_fd < 0:
            return False
        try:
            content = os.read(self._output_fd, 1 << 16)
        except BlockingIOError:
            return True
        self._output += content[: _KEPT_OUTPUT - len(self._output)]
        return bool(content)

    def _close_output(self) -> None:
        if self._output_fd >= 0:
            os.close(self._output_fd)
            self._output_fd = -1

    def _forget_child(self) -> None:
        self._child = 0
        launch.end_supervisor(self._supervisor)
        self._supervisor = 0
        self._close_output()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _finish(self, code: int, output: str) -> None:
        self._forget_child()
        result = {
            "Start": self._begun,
            "End": store.timestamp(),
            "ExitCode": code,
            "Output": output,
        }
        self._results = [*self._results, result][-_KEPT_RESULTS:]
        was = self._status
        if code == 0:
            self._status, self._streak = "healthy", 0
        elif was != "starting" or time.monotonic() - self._started >= self._options.start_period_s:
            self._streak += 1
            if self._streak >= self._options.retries:
                self._status = "unhealthy"
        self.next_time = time.monotonic() + self._pause()
        self._report()
        if self._status == "unhealthy" and was != "unhealthy":
            self._unhealthy()

    def _report(self) -> None:
        self._changed({"Status": self._status, "FailingStreak": self._streak, "Log": self._results})

    def close(self) -> None:
        """End a check that runs."""
        if self._child:
            launch.kill(self._child)
        self._forget_child()
