"""``logs`` of several containers: in the order of time, and when they are followed, as it comes."""

from __future__ import annotations

import heapq
import sys

from rootless.engine import logs as engine_logs
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.engine import Engine
    from rootless.engine.container_requests import LogsRequest
    from rootless.runtime.log import LogRecord

    Named = tuple[str, LogRecord]

_WAITING = 1000  # records that wait for the terminal; then the readers wait


def show(
    engine: Engine, names: Sequence[str], request: LogsRequest, *, timestamps: bool, prefixed: bool
) -> None:
    """Write the logs of all of them.  A line of one is not continued by another's."""
    sources = [(name, engine_logs.logs(engine, name, request)) for name in names]
    merged = _as_they_come(sources) if request.follow else _by_time(sources)
    streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    sys.stdout.flush()
    open_line: tuple[str, int] | None = None  # whose line is not ended yet
    for name, record in merged:
        stream = streams[record.stream]
        if open_line is not None and open_line != (name, record.stream):
            streams[open_line[1]].write(b"\n")
            streams[open_line[1]].flush()
            open_line = None
        if open_line is None:
            prefix = f"{record.time} " if timestamps else ""
            stream.write((prefix + f"{name} " if prefixed else prefix).encode())
        stream.write(record.text + b"\n" if record.whole else record.text)
        stream.flush()
        open_line = None if record.whole else (name, record.stream)


def _by_time(sources: Sequence[tuple[str, Iterator[LogRecord]]]) -> Iterator[Named]:
    named = (_named(name, records) for name, records in sources)
    return heapq.merge(*named, key=lambda each: each[1].time)


def _named(name: str, records: Iterator[LogRecord]) -> Iterator[Named]:
    return ((name, record) for record in records)


def _as_they_come(sources: Sequence[tuple[str, Iterator[LogRecord]]]) -> Iterator[Named]:
    """A thread for each; a failure in one is raised here."""
    from queue import Queue
    from threading import Thread

    queue: Queue[Named | BaseException | None] = Queue(_WAITING)

    def read(name: str, records: Iterator[LogRecord]) -> None:
        try:
            for record in records:
                queue.put((name, record))
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    for source in sources:
        Thread(target=read, args=source, daemon=True).start()
    left = len(sources)
    while left:
        item = queue.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            left -= 1
        else:
            yield item
