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
    ):
        self._options = options
        self._plan = plan
        self._changed = changed
        self._unhealthy = unhealthy
        self._started = time.monotonic()
        self._status = "starting"
        self._streak = 0
        self._results: list[dict[str, Any]] = []
        self._child = 0
        self._begun = ""
        self._output = bytearray()
        self.output_fd = -1  # to be polled while a check runs
        self.next_time = self._started + self._pause()
        self._report()

    def _pause(self) -> float:
        in_start = time.monotonic() - self._started < self._options.start_period_s
        if in_start and self._status == "starting":
            return min(self._options.start_interval_s, self._options.interval_s)
        return self._options.interval_s

    def check(self, pid: int) -> None:
        """Begin, observe or end a check, whatever the time has come for; ``pid`` is init's."""
        if self._child:
            self._observe()
        elif time.monotonic() >= self.next_time and pid:
            self._begin(pid)

    def _begin(self, pid: int) -> None:
        self._begun = store.timestamp()
        self._output.clear()
        self.output_fd, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.set_blocking(write_end, True)
            created = launch.create(self._plan(pid), (null, write_end, write_end))
            launch.start(created)
        except (RootlessError, OSError) as error:
            self._end(126, str(error))
            return
        finally:
            os.close(null)
            os.close(write_end)
        self._child = created.pid
        self.next_time = time.monotonic() + self._options.timeout_s

    def read(self) -> None:
        """Take what the test printed; call it when ``output_fd`` is readable."""
        try:
            content = os.read(self.output_fd, 1 << 16)
        except BlockingIOError:
            return
        self._output += content[: _KEPT_OUTPUT - len(self._output)]
        if not content:
            os.close(self.output_fd)
            self.output_fd = -1
            self._observe(wait=True)

    def _observe(self, *, wait: bool = False) -> None:
        overdue = time.monotonic() >= self.next_time
        if overdue:
            supervise.sender(self._child)(9)
        done, status = os.waitpid(self._child, 0 if overdue or wait else os.WNOHANG)
        if not done:
            return
        self._child = 0
        if overdue:
            self._end(-1, f"health check took longer than {self._options.timeout_s:g} s")
        else:
            self._end(supervise.exit_status(status), self._output.decode(errors="replace"))

    def _end(self, code: int, output: str) -> None:
        if self.output_fd >= 0:
            os.close(self.output_fd)
            self.output_fd = -1
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
            self._child = 0
        if self.output_fd >= 0:
            os.close(self.output_fd)
            self.output_fd = -1
