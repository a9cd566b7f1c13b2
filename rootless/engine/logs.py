"""``logs``: what a container wrote, from its log files."""

from __future__ import annotations

import os

from rootless.errors import Conflict
from rootless.runtime import container as store
from rootless.runtime import log
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.engine.container_requests import LogsRequest
    from rootless.runtime.container import Container
    from rootless.runtime.log import LogRecord


def logs(engine: Engine, name: str, request: LogsRequest) -> Iterator[LogRecord]:
    """The records that the request wants; with ``follow`` until the container ends.

    Raises NotFound, and Conflict for a container that keeps no log.
    """
    container = store.find(engine.paths, name)
    driver = container.record["settings"].get("log_driver") or "k8s-file"
    if driver in ("none", "journald"):
        raise Conflict(
            f"container {container.name} keeps no log of its own: its log driver is {driver}",
            hint=f"journalctl CONTAINER_NAME={container.name}" if driver == "journald" else None,
        )
    return _records(container, request)


def _records(container: Container, request: LogsRequest) -> Iterator[LogRecord]:
    path = f"{container.bundle}/log"
    since = _text_of(request.since)
    until = _text_of(request.until)
    ended = _end_of(container) if request.follow else -1
    try:
        # What is written from now on is for follow(): nothing is shown twice or lost between them.
        end = log.place_of_end(path)
        found = log.read(path, end) if request.tail is None else log.tail(path, request.tail, end)
        for record in found:
            if since <= record.time and (not until or record.time <= until):
                yield record
        if ended >= 0:
            for record in log.follow(path, ended, end):
                if until and record.time > until:
                    return
                yield record
    finally:
        if ended >= 0:
            os.close(ended)


def _text_of(seconds: float | None) -> str:
    """A time as records have it; texts of one form in UTC compare as their times do."""
    return "" if seconds is None else store.timestamp(int(seconds * 1e9))


def _end_of(container: Container) -> int:
    """A descriptor that is readable when the container's monitor ends; -1 when it does not run."""
    monitor = (container.state() or {}).get("monitor")
    if monitor is None:
        return -1
    try:
        return os.pidfd_open(monitor)
    except ProcessLookupError:
        return -1
