"""HOST SIDE: the next best where no cgroup enforces a limit (``--best-effort-limits``).

None of it is a wall: a program may undo its own affinity, and a watchdog looks only now and then.
Each limit is labelled so in ``inspect``.
"""

from __future__ import annotations

import os
import select

from rootless import files
from rootless.kernel import process
from rootless.lean import signal
from rootless.runtime.cgroup import Cgroup, Limit
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_GLANCE_MS = 100
_RLIMIT_NPROC = 6


class Substitute(NamedTuple):
    """What is done instead of a limit; ``label`` says so, ``apply`` does it to the first process."""

    limit: Limit
    label: str
    apply: Callable[[int], None] | None = None
    memory_bytes: int = 0


def substitute(limit: Limit) -> Substitute:
    """The next best for one limit; its label begins with ``unavailable`` where there is nothing."""
    value = limit.value
    match limit.file:
        case "cpuset.cpus":
            wanted = _numbers(value)
            return Substitute(
                limit,
                f"best effort: affinity to processors {value}",
                lambda pid: os.sched_setaffinity(pid, wanted),
            )
        case "cpu.max" if not value.startswith("max"):
            quota, _, period = value.partition(" ")
            number = max(1, -(-int(quota) // int(period or 100_000)))
            return Substitute(
                limit,
                f"best effort: affinity to {number} of the processors",
                lambda pid: _restrict(pid, number),
            )
        case "cpu.weight" if int(value) < 100:
            nice = min(19, 19 - int(value) * 19 // 100)
            return Substitute(
                limit,
                f"best effort: nice {nice}",
                lambda pid: os.setpriority(os.PRIO_PROCESS, pid, nice),
            )
        case "pids.max" if value.isdigit():
            return Substitute(
                limit,
                f"best effort: RLIMIT_NPROC {value} for each user of the container",
                lambda pid: _limit_processes(pid, int(value)),
            )
        case "memory.max" if value.isdigit():
            label = f"best effort: a watchdog ends the container above {value} bytes"
            return Substitute(limit, label, memory_bytes=int(value))
    return Substitute(limit, "unavailable: nothing comes near it without a cgroup")


def _numbers(text: str) -> set[int]:
    """``0-2,7`` as numbers (cpuset(7), "List format")."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _restrict(pid: int, number: int) -> None:
    allowed = sorted(os.sched_getaffinity(pid))
    start = pid % len(allowed)  # not everybody on the first ones
    chosen = [*allowed[start:], *allowed[:start]][:number]
    os.sched_setaffinity(pid, chosen)


def _limit_processes(pid: int, number: int) -> None:
    import resource

    _, hard = resource.prlimit(pid, _RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY:
        number = min(number, hard)
    resource.prlimit(pid, _RLIMIT_NPROC, (number, number))


class BestEffort(Cgroup):
    """Substitutes around a cgroup, which enforces what it can, or around none (``path`` is empty)."""

    def __init__(self, inner: Cgroup | None, substitutes: tuple[Substitute, ...], *, note: str):
        """``note`` is the path of a file that the watchdog makes when it has ended the container."""
        super().__init__(inner.path if inner is not None else "")
        self._inner = inner
        self._substitutes = substitutes
        self._note = note

    @property
    def birthplace(self) -> str:
        """That of the cgroup, where there is one."""
        return self._inner.birthplace if self._inner is not None else ""

    def add(self, pid: int, *, born: bool = False) -> None:
        """The first process of the container, before anything of it exists."""
        if self._inner is not None:
            self._inner.add(pid, born=born)
            self.path = self._inner.path
        for each in self._substitutes:
            if each.apply is not None:
                each.apply(pid)
        limits = [each.memory_bytes for each in self._substitutes if each.memory_bytes]
        if limits:
            _start_watchdog(pid, min(limits), self._note)

    def oom_kills(self) -> int:
        """Those of the kernel, and ours."""
        inner = self._inner.oom_kills() if self._inner is not None else 0
        return inner + int(os.path.exists(self._note))

    def remove(self) -> None:
        """The watchdog ends by itself."""
        if self._inner is not None:
            self._inner.remove()


def _start_watchdog(pid: int, limit_bytes: int, note: str) -> None:
    pidfd = os.pidfd_open(pid)
    if os.fork() == 0:
        try:
            process.set_parent_death_signal(signal.SIGKILL)
            process.set_name("rootless:[watchdog]")
            os.dup2(pidfd, 0)
            process.close_from(1)
            _watch(pid, limit_bytes, note)
        finally:
            os._exit(0)
    os.close(pidfd)


def _watch(pid: int, limit_bytes: int, note: str) -> None:
    """End the container once its processes together hold more; ``pid`` is also open as descriptor 0."""
    own = _pid_namespace(os.getpid())
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while not poll.poll(_GLANCE_MS):
        inside = _pid_namespace(pid)
        if inside not in (0, own) and _held_bytes(inside) > limit_bytes:
            os.close(os.open(note, os.O_WRONLY | os.O_CREAT, 0o600))
            signal.pidfd_send_signal(0, signal.SIGKILL)
            return


def _pid_namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def _held_bytes(namespace: int) -> int:
    """Memory of all processes of a pid namespace: proportional shares, or resident pages."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or _pid_namespace(int(name)) != namespace:
            continue
        try:
            for line in files.read_bytes(f"/proc/{name}/smaps_rollup").splitlines():
                if line.startswith((b"Pss_Anon:", b"Pss_Shmem:")):
                    total += int(line.split()[1]) * 1024
        except OSError:
            total += _resident_bytes(name)
    return total


def _resident_bytes(name: str) -> int:
    try:
        pages = int(files.read_bytes(f"/proc/{name}/statm").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
