"""HOST SIDE: end containers: their stop signal, their grace, and signals that a user sends."""

from __future__ import annotations

import os
import signal
import time

from rootless.errors import Conflict, InvalidRequest
from rootless.runtime import container as store
from rootless.runtime.journal import note_container
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.container_requests import KillRequest, StopRequest
    from rootless.runtime.container import Container

_LAUNCH_S = 30.0
_UNUSUAL_S = 0.3  # until an end that takes so long is looked into


def signal_number(text: str) -> int:
    """``TERM``, ``SIGTERM``, ``15`` or ``RTMIN+3``.  Raises InvalidRequest."""
    name, plus, offset = text.upper().partition("+")
    if name.isdigit() and 0 < int(name) < signal.NSIG and not plus:
        return int(name)
    number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(number, signal.Signals) or (plus and not offset.isdigit()):
        raise InvalidRequest(f"unknown signal {text!r}")
    return int(number) + int(offset or 0)


def kill(engine: Engine, request: KillRequest) -> list[str]:
    """Signal containers.  Raises Conflict for one that does not run."""
    number = signal_number(request.signal)
    for name in request.containers:
        container = store.find(engine.paths, name)
        container.check_known()
        if number == signal.SIGKILL:
            ask_to_end(container)
        if not signal_init(container, number):
            raise Conflict(f"container {container.name} is not running")
        if number == signal.SIGKILL:
            _remember_stop(container)
        note_container(engine.paths, container.record, "kill", signal=number)
    return list(request.containers)


def stop(engine: Engine, request: StopRequest) -> list[str]:
    """Ask containers to end, and end them when their grace is over."""
    for name in request.containers:
        stop_one(store.find(engine.paths, name), signal_name=request.signal, grace_s=request.time)
    return list(request.containers)


def stop_one(
    container: Container, *, signal_name: str | None = None, grace_s: float | None = None
) -> None:
    """The stop signal, then after ``grace_s`` seconds SIGKILL; returns when the container is gone.  Raises StoreFailed."""
    record = container.record
    container.check_known()
    grace = record["stop_timeout"] if grace_s is None else grace_s
    number = signal_number(signal_name or record["stop_signal"])
    ask_to_end(container)
    if container.status() == store.INITIALIZED:
        grace = 0  # nobody is there yet who could do anything about a signal
    if container.state() is None:
        return
    if _signal_soon(container, number) and not wait_for_end(container, grace):
        signal_init(container, signal.SIGKILL)
        wait_for_end(container, None)
    _remember_stop(container)
    note_container(container.paths, record, "stop")


def _signal_soon(container: Container, number: int) -> bool:
    """Signal its first process; False when it has ended instead.

    Between two runs of its restart policy there is none, and the next may have begun when we asked for the end.
    """
    patience = time.monotonic() + _LAUNCH_S
    while not signal_init(container, number):
        if wait_for_end(container, 0.05):
            return False
        if time.monotonic() > patience:
            raise Conflict(
                f"container {container.name} neither runs nor ends",
                hint=f"rootless rm -f {container.name}",
            )
    return True


def _remember_stop(container: Container) -> None:
    """Somebody wanted it to end: ``unless-stopped`` heeds that at the next boot, too."""
    if str(container.record["settings"].get("restart") or "").startswith("unless-stopped"):
        store.update_record(container, {"stopped": True})


def ask_to_end(container: Container) -> None:
    """Tell the monitor that the end is wanted, so that no restart policy undoes it."""
    try:
        with open(f"{container.run_directory}/stop", "w"):
            pass
    except FileNotFoundError:
        pass


def _release(container: Container) -> None:
    from rootless.runtime import held_ends

    state = container.state() or {}
    if state.get("pid"):
        held_ends.release(state["pid"])


def signal_init(container: Container, number: int) -> bool:
    """Signal the container's first process; False when it does not run."""
    state = container.state()
    if state is None or "pid" not in state:
        return False
    if store.process_start_time(state["pid"]) != state["start_time"]:
        return False
    try:
        os.kill(state["pid"], number)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(container: Container, seconds: float | None) -> bool:
    """Wait until nobody holds the container's lock; False when the time is over first."""
    patience = None if seconds is None else time.monotonic() + seconds
    pause = 0.002
    look = time.monotonic() + _UNUSUAL_S
    while container.state() is not None:
        if time.monotonic() > look:
            _release(container)
            look += 1.0
        if patience is not None and time.monotonic() >= patience:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True
