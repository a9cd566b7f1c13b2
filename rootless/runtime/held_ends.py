"""HOST SIDE: containers whose end is held up by a stopped ``exec``.

The first process of a pid namespace does not end before all others in it were collected (pid_namespaces(7)).
The programs of ``exec`` are collected by their commands, outside: one that was stopped, by SIGSTOP or a shell's
Ctrl-Z, never would.
"""

from __future__ import annotations

import os
import signal

from rootless import files
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def release(init: int) -> None:
    """Let stopped commands go on whose programs have ended with ``init``; nothing while that lives."""
    if not _is_ending(init):
        return
    for parent in _parents_of_dead(init):
        if _state_and_parent(parent)[0] in ("T", "t"):
            try:
                os.kill(parent, signal.SIGCONT)
            except (ProcessLookupError, PermissionError):
                continue


def _is_ending(pid: int) -> bool:
    """A process that has begun to end has no memory any more, and so no command line."""
    try:
        return not files.read_bytes(f"/proc/{pid}/cmdline")
    except OSError:
        return False


def _parents_of_dead(init: int) -> Iterator[int]:
    namespace = _namespace(init)
    for name in os.listdir("/proc"):
        if name.isdigit() and namespace:
            state, parent = _state_and_parent(int(name))
            if state == "Z" and _namespace(int(name)) == namespace:
                yield parent


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = files.read_bytes(f"/proc/{pid}/stat").decode(errors="replace")
    except OSError:
        return "", 0
    state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
    return state, int(parent)
