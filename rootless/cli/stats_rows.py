"""What ``stats`` shows of a container."""

from __future__ import annotations

import time

from rootless.cli.phrases import binary_size, human_size, seconds_since_1970
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.engine.stats import Sample

_UNKNOWN = "--"
HEADERS = {
    "ID": "CONTAINER ID",
    "Container": "CONTAINER",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
    "CPUTime": "CPU TIME",
    "AVGCPU": "AVG CPU %",
}
SHOWN = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


def row(
    name: str, sample: Sample | None, before: Mapping[str, Sample], *, whole: bool
) -> dict[str, object]:
    """The cells of a container; of one that does not run only the name is known."""
    if sample is None:
        return {**dict.fromkeys(HEADERS, _UNKNOWN), "Name": name, "Container": name}
    return {
        "ID": sample.id if whole else sample.id[:12],
        "Container": sample.id if whole else sample.id[:12],
        "Name": sample.name,
        "CPUPerc": f"{_cpu_percent(sample, before):.2f}%",
        "MemUsage": f"{binary_size(sample.memory_bytes)} / {binary_size(sample.memory_limit_bytes)}",
        "MemPerc": f"{100 * sample.memory_bytes / sample.memory_limit_bytes:.2f}%",
        "NetIO": _both(sample.received_bytes, sample.sent_bytes),
        "BlockIO": _both(sample.read_bytes, sample.written_bytes),
        "PIDs": str(sample.processes),
        "CPUTime": f"{sample.cpu_s:.3f}s",
        "AVGCPU": f"{_average_percent(sample):.2f}%",
    }


def _both(first: int | None, second: int | None) -> str:
    if first is None or second is None:
        return f"{_UNKNOWN} / {_UNKNOWN}"
    return f"{human_size(first)} / {human_size(second)}"


def _cpu_percent(sample: Sample, before: Mapping[str, Sample]) -> float:
    """Of one processor, since the last look."""
    last = before.get(sample.id)
    if last is None or sample.time_s <= last.time_s:
        return _average_percent(sample)
    return max(0.0, 100 * (sample.cpu_s - last.cpu_s) / (sample.time_s - last.time_s))


def _average_percent(sample: Sample) -> float:
    elapsed = time.time() - seconds_since_1970(sample.started)
    return 100 * sample.cpu_s / max(elapsed, 0.01)


def document(name: str, sample: Sample | None, before: Mapping[str, Sample]) -> dict[str, Any]:
    """The same in numbers."""
    if sample is None:
        return {"name": name, "running": False}
    return {
        "id": sample.id,
        "name": sample.name,
        "running": True,
        "cpu_percent": round(_cpu_percent(sample, before), 3),
        "cpu_seconds": sample.cpu_s,
        "mem_bytes": sample.memory_bytes,
        "mem_limit_bytes": sample.memory_limit_bytes,
        "net_received_bytes": sample.received_bytes,
        "net_sent_bytes": sample.sent_bytes,
        "block_read_bytes": sample.read_bytes,
        "block_written_bytes": sample.written_bytes,
        "pids": sample.processes,
    }
