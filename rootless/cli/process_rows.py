"""What ``top`` shows of a process, by the names of ps(1) and podman."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.engine.processes import Process

USUAL = ["user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"]
# What people type after ps(1), and the columns here that are nearest to what that shows.
SETS = {
    "ef": USUAL,
    "aux": ["user", "pid", "pcpu", "vsz", "rss", "tty", "state", "time", "args"],
}


def chosen(words: Iterable[str]) -> list[str]:
    """The columns that are asked for: ``pid args``, ``pid,args``, ``-o pid,args``, ``aux`` or none."""
    names = [each for word in words for each in word.lstrip("-").split(",")]
    names = [each for each in names if each not in ("", "o", "eo", "axo")]
    return [column for each in names for column in SETS.get(each, [each])] or USUAL


def cells(process: Process, columns: Iterable[str]) -> list[str]:
    """One line of the table."""
    return [COLUMNS[column][1](process) for column in columns]


def _share(process: Process) -> str:
    return f"{100 * process.cpu_s / max(process.elapsed_s, 0.01):.3f}"


def _elapsed(process: Process) -> str:
    """``1h2m3.456s``, as podman."""
    minutes, seconds = divmod(process.elapsed_s, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{seconds:.3f}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _user(process: Process) -> str:
    return "root" if process.uid == 0 else str(process.uid)


COLUMNS: dict[str, tuple[str, Callable[[Process], str]]] = {
    "user": ("USER", _user),
    "uid": ("UID", lambda each: str(each.uid)),
    "huser": ("HUSER", lambda each: str(each.host_uid)),
    "pid": ("PID", lambda each: str(each.pid)),
    "hpid": ("HPID", lambda each: str(each.host_pid)),
    "ppid": ("PPID", lambda each: str(each.ppid)),
    "pcpu": ("%CPU", _share),
    "etime": ("ELAPSED", _elapsed),
    "tty": ("TTY", lambda each: each.terminal),
    "time": ("TIME", lambda each: f"{each.cpu_s:.2f}s"),
    "args": ("COMMAND", lambda each: each.args),
    "comm": ("COMMAND", lambda each: each.command),
    "state": ("STATE", lambda each: each.state),
    "nice": ("NI", lambda each: str(each.nice)),
    "rss": ("RSS", lambda each: str(each.memory_bytes // 1024)),
    "vsz": ("VSZ", lambda each: str(each.size_bytes // 1024)),
}
for _alias, _name in (("cmd", "args"), ("command", "args"), ("stat", "state"), ("ni", "nice")):
    COLUMNS[_alias] = COLUMNS[_name]
