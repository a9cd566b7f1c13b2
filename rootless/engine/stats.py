"""``stats``: what containers use, from their cgroups, or added up from /proc where there is none."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.engine.processes import host_pids
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.runtime.container import Container, State


class Sample(NamedTuple):
    """One container at one time; None is what nobody counts."""

    id: str
    name: str
    time_s: float
    started: str
    cpu_s: float
    memory_bytes: int
    memory_limit_bytes: int
    received_bytes: int | None
    sent_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    processes: int


def sample(engine: Engine, name: str) -> Sample | None:
    """What a container uses now; None when it does not run."""
    container = store.find(engine.paths, name)
    state = container.state()
    if state is None or "pid" not in state:
        return None
    return _sample(container, state)


def _sample(container: Container, state: State) -> Sample:
    from rootless.runtime.cgroup import Cgroup, Usage

    pids = host_pids(state)
    usage = Usage(None, None, None, None, None, None)
    if state.get("cgroup"):
        try:
            usage = Cgroup(state["cgroup"]).usage()
        except OSError:
            pass  # it has just ended
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    received, sent = _traffic(state["pid"])
    return Sample(
        id=container.id,
        name=container.name,
        time_s=time.monotonic(),
        started=state.get("started", ""),
        cpu_s=_cpu_s(pids) if usage.cpu_us is None else usage.cpu_us / 1e6,
        memory_bytes=_resident_bytes(pids) if usage.memory_bytes is None else usage.memory_bytes,
        memory_limit_bytes=min(usage.memory_limit_bytes or total, total),
        received_bytes=received,
        sent_bytes=sent,
        read_bytes=usage.read_bytes,
        written_bytes=usage.written_bytes,
        processes=len(pids) if usage.processes is None else usage.processes,
    )


def _cpu_s(pids: list[int]) -> float:
    """User and system time, that of children that were waited for included (proc(5), 14 to 17)."""
    ticks = 0
    for pid in pids:
        try:
            stat = files.read_bytes(f"/proc/{pid}/stat")
        except OSError:
            continue
        ticks += sum(map(int, stat[stat.rindex(b")") + 2 :].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pids: list[int]) -> int:
    pages = 0
    for pid in pids:
        try:
            pages += int(files.read_bytes(f"/proc/{pid}/statm").split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def _traffic(pid: int) -> tuple[int | None, int | None]:
    """Bytes received and sent by all interfaces of its network namespace but lo."""
    try:
        lines = files.read_bytes(f"/proc/{pid}/net/dev").splitlines()[2:]
    except OSError:
        return None, None
    received = sent = 0
    for line in lines:
        name, _, numbers = line.partition(b":")
        if name.strip() != b"lo":
            fields = numbers.split()
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent
