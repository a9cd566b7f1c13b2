"""``top``: the processes of a container, from /proc of the host."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.user_namespaces import map_of
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple
from rootless.userns.idmap import to_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.runtime.container import State
    from rootless.userns.idmap import IdMap


_OVERFLOW = 65534  # whom the kernel shows for ids that are not mapped


class Process(NamedTuple):
    """One process; ids are those inside the container, ``host_*`` those outside."""

    pid: int
    ppid: int
    host_pid: int
    uid: int
    host_uid: int
    state: str
    command: str
    args: str
    terminal: str
    nice: int
    cpu_s: float
    elapsed_s: float
    memory_bytes: int
    size_bytes: int


def processes(engine: Engine, name: str) -> list[Process]:
    """What runs in a container, its first process first.  Raises Conflict when it does not run."""
    container = store.find(engine.paths, name)
    state = container.running()
    id_map = map_of(engine, container.record)
    found = []
    for pid in host_pids(state):
        try:
            found.append(_read(pid, id_map))
        except (OSError, ValueError, IndexError, KeyError):
            continue  # it has just ended
    return sorted(found, key=lambda each: each.pid)


def host_pids(state: State) -> list[int]:
    """Its cgroup knows all of them; without one they are the descendants of its first process."""
    pids = {state["pid"], *_descendants(state["pid"])}
    if state.get("cgroup"):
        from rootless.runtime.cgroup import Cgroup

        pids.update(Cgroup(state["cgroup"]).processes())
    else:
        pids.update(_in_namespace_of(state["pid"]))
    return sorted(pids)


def _descendants(pid: int) -> Iterator[int]:
    """Children are listed by thread (proc_pid_task_children(5))."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in files.read_bytes(f"/proc/{pid}/task/{thread}/children").split():
                yield int(child)
                yield from _descendants(int(child))
    except OSError:
        return


def _in_namespace_of(pid: int) -> Iterator[int]:
    """What ``exec`` put there is no descendant; we may look at those that run as ourselves."""
    try:
        wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                yield int(name)
        except OSError:
            continue


def _read(pid: int, id_map: IdMap) -> Process:
    """One process, from its files in /proc (proc(5))."""
    stat = files.read_bytes(f"/proc/{pid}/stat")
    open_, close = stat.index(b"("), stat.rindex(b")")
    rest = stat[close + 2 :].split()
    status = dict(
        line.split(b":", 1)
        for line in files.read_bytes(f"/proc/{pid}/status").splitlines()
        if b":" in line
    )
    args = files.read_bytes(f"/proc/{pid}/cmdline").rstrip(b"\0").replace(b"\0", b" ")
    command = stat[open_ + 1 : close].decode(errors="replace")
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(files.read_bytes("/proc/uptime").split()[0])
    host_uid = int(status[b"Uid"].split()[1])
    return Process(
        pid=int(status[b"NSpid"].split()[-1]),
        ppid=_inner_pid(int(rest[1])),
        host_pid=pid,
        uid=_inside(host_uid, id_map),
        host_uid=host_uid,
        state=rest[0].decode(),
        command=command,
        args=args.decode(errors="replace") or f"[{command}]",
        terminal=_terminal(int(rest[4])),
        nice=int(rest[16]),
        cpu_s=(int(rest[11]) + int(rest[12])) / ticks,
        elapsed_s=max(0.0, uptime - int(rest[19]) / ticks),
        memory_bytes=int(rest[21]) * os.sysconf("SC_PAGE_SIZE"),
        size_bytes=int(rest[20]),
    )


def _inner_pid(host_pid: int) -> int:
    """What a parent is called inside; 0 for one that is outside."""
    try:
        for line in files.read_bytes(f"/proc/{host_pid}/status").splitlines():
            if line.startswith(b"NSpid:"):
                pids = line.split()[1:]
                return int(pids[-1]) if len(pids) > 1 else 0
    except OSError:
        pass
    return 0


def _inside(uid: int, id_map: IdMap) -> int:
    found = to_inside(id_map.uids, uid)
    return _OVERFLOW if found is None else found


def _terminal(device: int) -> str:
    """pts/N for a pseudo-terminal (major 136 to 143), else ?."""
    if device == 0:
        return "?"
    major, minor = os.major(device), os.minor(device)
    return f"pts/{(major - 136) * 256 + minor}" if 136 <= major <= 143 else "?"
