"""What the probes of the network helpers found, remembered: probing takes up to two seconds, reading not one millisecond."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.probe import Findings

_FAILURE_LASTS_S = 24 * 3600
_WORKS = "works"
if TYPE_CHECKING:
    Answers = tuple[str | None, str | None, str | None]


def find(name: str, program: str | None, cache: str, *, refresh: bool = False) -> Answers:
    """Why helper ``name`` cannot be used, why its own published ports cannot, and why another is better; or None.

    ``cache`` is a directory of ours.  An answer holds while the program, the kernel and the TUN
    device stay what they were; a failure is looked into again after a day, or with ``refresh``.
    """
    if program is None:
        missing = f"{name} is not installed"
        return missing, missing, None
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing = "/dev/net/tun is missing or may not be opened"
        return missing, missing, None
    path, key = f"{cache}/network-{name}", _key(program)
    if not refresh:
        known = _recall(path, key)
        if known is not None:
            return known
    found = _probe(name, program)
    text = "\n".join((key, *(each or _WORKS for each in found)))
    os.makedirs(cache, mode=0o700, exist_ok=True)
    files.write_atomic(path, text.encode(), durable=False)
    return found.unusable, found.no_ports, found.slow


def _key(program: str) -> str:
    """What the answer depends on."""
    status = os.stat(program)
    return f"2 {program} {status.st_mtime_ns} {status.st_size} {os.uname().release}"


def _recall(path: str, key: str) -> Answers | None:
    try:
        with open(path, "rb", buffering=0) as file:
            lines = file.readall().decode().split("\n")
            age_s = time.time() - os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if len(lines) != 4 or lines[0] != key:
        return None
    answers = tuple(None if line == _WORKS else line for line in lines[1:])
    if any(answers) and age_s > _FAILURE_LASTS_S:
        return None
    return answers[0], answers[1], answers[2]


def _probe(name: str, program: str) -> Findings:
    from rootless.network import probe

    found = probe.probe_pasta(program) if name == "pasta" else probe.probe_slirp4netns(program)
    return found._replace(
        unusable=_one_line(found.unusable),
        no_ports=_one_line(found.no_ports),
        slow=_one_line(found.slow),
    )


def _one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())
