"""What ``ps`` shows of a container: the cells of its row, and its JSON document."""

from __future__ import annotations

import time

from rootless.cli.phrases import (
    ago,
    ellipsis,
    familiar,
    human_duration,
    human_size,
    seconds_since_1970,
)
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.engine.containers import Listed
    from rootless.engine.sizes import Size

_COMMAND_WIDTH = 20

SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "Created": "CREATED",
    "CreatedHuman": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "ImageID": "IMAGE ID",
    "Pid": "PID",
    "ExitCode": "EXIT CODE",
}


def ordered(listed: list[Listed], field: str, known: Mapping[str, Size]) -> list[Listed]:
    """``--sort``: by a field, the newest first where it is about time, by size the smallest."""
    if field == "size":
        return sorted(listed, key=lambda each: known[each.container.id].written)
    return sorted(listed, key=_SORT[field])


_SORT: dict[str, Callable[[Listed], Any]] = {
    "command": lambda each: each.container.record["args"],
    "created": lambda each: _backwards(each.container.record["created"]),
    "id": lambda each: each.container.id,
    "image": lambda each: each.container.record["image"],
    "names": lambda each: each.container.name,
    "runningfor": lambda each: _backwards((each.state or {}).get("started", "")),
    "status": lambda each: (each.status, each.container.name),
}


def _backwards(text: str) -> list[int]:
    return [-ord(character) for character in text]


def row(listed: Listed, *, whole: bool, size: Size | None = None) -> dict[str, object]:
    """The fields that templates know, as text."""
    record = listed.container.record
    facts = document(listed)
    command = '"' + " ".join(record["args"]) + '"'
    created = facts["Created"]
    return {
        "ID": record["id"] if whole else record["id"][:12],
        "Image": familiar(record["image"]),
        "Command": command if whole else ellipsis(command, _COMMAND_WIDTH),
        "RunningFor": ago(time.time() - created),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
        "Created": ago(time.time() - created),
        "CreatedHuman": ago(time.time() - created),
        "Status": facts["Status"],
        "State": facts["State"],
        "Ports": ports_text(facts["Ports"]),
        "Names": record["name"],
        "Size": f"{human_size(size.written)} (virtual {human_size(size.total)})" if size else "",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record["labels"].items())),
        "Mounts": ",".join(facts["Mounts"]),
        "Networks": ",".join(facts["Networks"]),
        "ImageID": record["image_id"] if whole else record["image_id"].partition(":")[2][:12],
        "Pid": str(facts["Pid"]),
        "ExitCode": str(facts["ExitCode"]),
    }


def document(listed: Listed, size: Size | None = None) -> dict[str, Any]:
    """The same as ``--format json`` shows it, in podman's words."""
    record, state = listed.container.record, listed.state or {}
    last = record.get("last") or {}
    mode, ports, options = record["launch"]["network"]
    started = state.get("started") or last.get("started")
    finished = last.get("finished") if listed.state is None else None
    return {
        "Id": record["id"],
        "Names": [record["name"]],
        "Image": record["image"],
        "ImageID": record["image_id"],
        "Command": record["args"],
        "Created": seconds_since_1970(record["created"]),
        "CreatedAt": record["created"],
        "StartedAt": seconds_since_1970(started) if started else 0,
        "ExitedAt": seconds_since_1970(finished) if finished else 0,
        "Exited": listed.status == "exited",
        "ExitCode": last.get("exit_code", 0),
        "Pid": state.get("pid", 0),
        "State": listed.status,
        "Status": status_text(listed),
        "Labels": record["labels"],
        "Mounts": [mount["Destination"] for mount in record.get("mounts", ())],
        "Networks": list(options) if mode == "bridge" else [],
        "Ports": [port_document(port) for port in ports],
        "AutoRemove": record["auto_remove"],
        **({"Size": {"rwSize": size.written, "rootFsSize": size.total}} if size else {}),
    }


def status_text(listed: Listed) -> str:
    """``Up 2 hours (healthy)``, ``Exited (0) 5 seconds ago``, ``Created``."""
    if listed.state is None:
        last = listed.container.record.get("last")
        if last is None:
            return "Created"
        elapsed = time.time() - seconds_since_1970(last["finished"])
        return f"Exited ({last.get('exit_code', 0)}) {ago(elapsed)}"
    started = listed.state.get("started")
    if listed.status in ("restarting", "initialized"):
        return listed.status.capitalize()
    if started is None:
        return "Created"
    text = f"Up {human_duration(time.time() - seconds_since_1970(started))}"
    health = (listed.state.get("health") or {}).get("Status")
    if listed.status == "paused":
        return f"{text} (Paused)"
    return f"{text} ({health})" if health else text


def port_document(port: Any) -> dict[str, Any]:
    """A port mapping of a record, by podman's names."""
    host_ip, host_port, container_port, protocol = port[:4]
    return {
        "host_ip": host_ip,
        "container_port": container_port,
        "host_port": host_port,
        "range": 1,
        "protocol": protocol,
    }


def ports_text(ports: list[dict[str, Any]]) -> str:
    """``0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9002->90-92/tcp``: what goes on where the last one ended is a range."""
    runs: list[list[dict[str, Any]]] = []
    for port in ports:
        if runs and _goes_on(runs[-1][-1], port):
            runs[-1].append(port)
        else:
            runs.append([port])
    return ", ".join(
        f"{run[0]['host_ip'] or '0.0.0.0'}:{_span(run, 'host_port')}"
        f"->{_span(run, 'container_port')}/{run[0]['protocol']}"
        for run in runs
    )


def _goes_on(last: dict[str, Any], port: dict[str, Any]) -> bool:
    following = {key: last[key] + 1 for key in ("host_port", "container_port")}
    return port == {**last, **following}


def _span(run: list[dict[str, Any]], key: str) -> str:
    first, last = run[0][key], run[-1][key]
    return str(first) if first == last else f"{first}-{last}"
