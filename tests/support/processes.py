"""Finding processes without the code under test."""

from __future__ import annotations

import os


def commands() -> dict[int, str]:
    """Command lines by pid, words joined by spaces; ours does not count."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                found[int(entry)] = (
                    file.read().replace(b"\0", b" ").decode(errors="replace").strip()
                )
        except OSError:
            continue
    return found


def named(text: str) -> list[int]:
    """Pids of the processes whose command line contains ``text``."""
    return [pid for pid, command in commands().items() if text in command]


def running(command: str) -> list[int]:
    """Pids of the processes whose command line is exactly that, but for its directory."""
    return [pid for pid, shown in commands().items() if shown.rpartition("/")[2] == command]


def using(directory: str) -> list[str]:
    """The processes that run ``rootless`` with that store: it is in their environment."""
    found = []
    for pid, command in commands().items():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"ROOTLESS_HOME={directory}\0".encode() in file.read():
                    found.append(f"{pid}: {command}")
        except OSError:
            continue
    return found
