"""``events``: what happened, from the journal, and what happens."""

from __future__ import annotations

import time

from rootless.engine.filters import grouped, has, means_image
from rootless.runtime import journal
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rootless.engine import Engine
    from rootless.engine.container_requests import EventsRequest
    from rootless.runtime.journal import Entry

_PAUSE_S = 0.1
# docker's words for what podman and we call otherwise.
_SAME = {
    **{"die": "died", "destroy": "remove", "delete": "remove", "load": "loadfromarchive"},
    **{"exec_start": "exec", "exec_die": "exec_died"},
}


def happenings(engine: Engine, request: EventsRequest) -> Iterator[Entry]:
    """The events that the request wants; with ``stream`` also those to come, up to ``until``.

    Raises InvalidRequest for an unknown filter.
    """
    test = _test_of(request.filter)
    since_ns = _nanoseconds(request.since)
    until_ns = _nanoseconds(request.until)
    past, position = journal.read(engine.paths)
    wants_past = request.since is not None or request.until is not None or not request.stream
    return _chosen(
        _all(past if wants_past else [], position, request.stream, until_ns),
        lambda each: (
            test(each)
            and each["time"] >= (since_ns or 0)
            and (until_ns is None or each["time"] <= until_ns)
        ),
    )


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)


def _chosen(entries: Iterator[Entry], test: Callable[[Entry], bool]) -> Iterator[Entry]:
    return (each for each in entries if test(each))


def _all(
    past: list[Entry], position: journal.Position, stream: bool, until_ns: int | None
) -> Iterator[Entry]:
    yield from past
    while stream and (until_ns is None or time.time_ns() <= until_ns):
        newer = position.newer()
        yield from newer
        if not newer:
            time.sleep(_PAUSE_S)


def _test_of(filters: Sequence[str]) -> Callable[[Entry], bool]:
    """Of the filters with one key any, but every label; of different keys all."""
    groups = grouped(filters, _FILTERS)
    return lambda entry: all(
        any(_FILTERS[key](entry, value) for key, value in group) for group in groups
    )


def _names(kind: str) -> Callable[[Entry, str], bool]:
    def test(entry: Entry, value: str) -> bool:
        identifier = entry["id"].removeprefix("sha256:")
        return entry["type"] == kind and (
            value == entry["name"]
            or (bool(value) and identifier.startswith(value.removeprefix("sha256:")))
        )

    return test


def _image(entry: Entry, value: str) -> bool:
    """An image itself, or a container made of it; a name without tag or registry will do."""
    name = entry["name"] if entry["type"] == "image" else entry["attributes"].get("image", "")
    return means_image(value, name) or _names("image")(entry, value)


def _label(entry: Entry, value: str) -> bool:
    return has(entry["attributes"], value)


def _event(entry: Entry, value: str) -> bool:
    return entry["action"] == _SAME.get(value, value)


_FILTERS: dict[str, Callable[[Entry, str], bool]] = {
    "container": _names("container"),
    "event": _event,
    "image": _image,
    "label": _label,
    "network": _names("network"),
    "type": lambda entry, value: entry["type"] == value,
    "volume": _names("volume"),
}
