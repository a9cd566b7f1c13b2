"""A few threads that work through a list; the calling thread tells how far they are and what went wrong."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from rootless.errors import RegistryUnreachable, StoreFailed
from rootless.registry.http import Transient
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from urllib3 import BaseHTTPResponse

    from rootless.events import Event, Report

PARALLEL = 4
_JOIN_LIMIT_S = 5.0
_REPORT_INTERVAL_S = 0.1
_SLOW_WINDOW_S = 30.0
SLOW_BYTES = 16 << 10


class Stopped(Exception):
    """The work was called off."""


class Crew:
    """The threads of one transfer.  A task is called in one of them, until one fails."""

    def __init__(self, tasks: Iterable[Callable[[], None]], *, place: str):
        self._tasks = list(reversed(list(tasks)))
        self._place = place
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._active: set[BaseHTTPResponse] = set()

    def run(self, report: Report, *, parallel: int = PARALLEL) -> None:
        """Do all tasks.  Raises the first failure after all threads have ended."""
        count = min(parallel, len(self._tasks))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            while count:
                event = self._events.get()
                if event is None:
                    count -= 1
                else:
                    report(event)
        finally:
            self._end(threads)
        if isinstance(self._failure, OSError):
            raise StoreFailed(f"cannot use the files in {self._place}: {self._failure.strerror}")
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    if not self._tasks:
                        return
                    task = self._tasks.pop()
                task()
        except Stopped:
            pass
        except BaseException as error:  # the calling thread raises it
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
        finally:
            self._events.put(None)

    def _end(self, threads: list[threading.Thread]) -> None:
        """Stop what still runs, also where it waits for a server."""
        self._stop.set()
        for response in tuple(self._active):
            # urllib3 2.3 and later can end a read of another thread; before, it ends by its timeout.
            shutdown = getattr(response, "shutdown", None)
            if shutdown is not None:
                with contextlib.suppress(OSError, ValueError):
                    shutdown()
        for thread in threads:
            thread.join(_JOIN_LIMIT_S)

    # -- for tasks -----------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Report from a thread."""
        self._events.put(event)

    def stop(self) -> None:
        """Call off the rest of the work; it is no failure by itself."""
        self._stop.set()

    def check(self) -> None:
        """Raise Stopped when the work was called off."""
        if self._stop.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait unless the work is called off meanwhile."""
        if self._stop.wait(seconds):
            raise Stopped

    @contextlib.contextmanager
    def reading(self, response: BaseHTTPResponse) -> Iterator[None]:
        """While an answer is read, the end of the work ends the read too."""
        self._active.add(response)
        try:
            yield
        finally:
            self._active.discard(response)


class Pace:
    """Tells when progress is due, and that a server drips."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._reported = self._window = time.monotonic()
        self._bytes = 0

    def step(self, count: int) -> bool:
        """Take note of bytes that came; raises Transient when there are too few for too long."""
        now = time.monotonic()
        self._bytes += count
        if now - self._window > _SLOW_WINDOW_S:
            if self._bytes < SLOW_BYTES:
                raise Transient(RegistryUnreachable(f"{self._host} sends too slowly"), attempts=3)
            self._window, self._bytes = now, 0
        if now - self._reported < _REPORT_INTERVAL_S:
            return False
        self._reported = now
        return True
