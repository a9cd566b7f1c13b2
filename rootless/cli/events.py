"""``events``: what happens to containers, images, networks and volumes."""

from __future__ import annotations

import time

from rootless.cli import output, values
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.runtime.journal import Entry


def events(
    *,
    since: str | None = None,
    until: str | None = None,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    stream: bool = True,
    no_stream: bool = False,
    no_trunc: bool = True,
) -> None:
    """Show what happens, until it is interrupted."""
    from rootless.engine.container_requests import EventsRequest
    from rootless.engine.happenings import happenings

    now = time.time()
    request = EventsRequest(
        since=None if since is None else values.timestamp(since, now=now),
        until=None if until is None else values.timestamp(until, now=now),
        filter=filter,
        stream=stream and not no_stream,
    )
    for entry in happenings(Engine.open(), request):
        _show(entry, format, whole=no_trunc)
        output.flush()


def _show(entry: Entry, format: str | None, *, whole: bool) -> None:
    if format is None:
        output.write(_line(entry, whole=whole))
    elif format in ("json", "{{json .}}"):
        import json

        output.write(json.dumps(_document(entry), ensure_ascii=False))  # one line each
    else:
        output.template(format, [_document(entry)])


def _line(entry: Entry, *, whole: bool) -> str:
    """As docker prints it: local time, type, action, id, and in parentheses what else is known."""
    seconds, rest = divmod(entry["time"], 1_000_000_000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{zone[:3]}:{zone[3:]}"
    attributes = {**entry["attributes"], "name": entry["name"]}
    details = ", ".join(f"{key}={value}" for key, value in sorted(attributes.items()))
    identifier = entry["id"] if whole else entry["id"].removeprefix("sha256:")[:12]
    return f"{moment} {entry['type']} {entry['action']} {identifier} ({details})"


def _document(entry: Entry) -> dict[str, object]:
    """docker's fields, and podman's where they have other names."""
    attributes = {**entry["attributes"], "name": entry["name"]}
    return {
        "status": entry["action"],
        "id": entry["id"],
        "from": attributes.get("image", ""),
        "Type": entry["type"],
        "Action": entry["action"],
        "Actor": {"ID": entry["id"], "Attributes": attributes},
        "scope": "local",
        "time": entry["time"] // 1_000_000_000,
        "timeNano": entry["time"],
        "ID": entry["id"],
        "Name": entry["name"],
        "Image": attributes.get("image", ""),
        "Status": entry["action"],
        "Time": entry["time"] // 1_000_000_000,
        "TimeNano": entry["time"],
        "Attributes": attributes,
    }
