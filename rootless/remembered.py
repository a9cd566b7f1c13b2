"""The answers of probes, kept: asking costs several starts.

An answer is kept under everything it depends on (boot, user, id maps, the programs and files involved), so a
change of the host is a new question.
"""

from __future__ import annotations

import os
import time
from binascii import crc32

from rootless import files
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURE_LASTS_S = 3600


def answer(
    cache: str, name: str, facts: object, probe: Callable[[], str], *, fresh: bool = False
) -> str:
    """The kept answer to ``name`` for these facts, or that of ``probe``, which is then kept.

    A failure is looked into again after an hour: a count may have been used up for a moment.  With
    ``fresh`` no kept answer counts.
    """
    boot = _read("/proc/sys/kernel/random/boot_id")
    key = crc32(repr((boot, os.geteuid(), _read("/proc/self/uid_map"), facts)).encode())
    path = f"{cache}/probes/{name}-{key:08x}"
    kept = None if fresh else _kept(path)
    if kept is not None:
        return kept
    found = probe()
    try:
        os.makedirs(f"{cache}/probes", mode=0o700, exist_ok=True)
        files.write_atomic(path, found.encode(), durable=False)
    except OSError:
        pass  # asked again the next time
    return found


def _kept(path: str) -> str | None:
    try:
        kept = files.read_bytes(path).decode()
        if kept and time.time() - os.stat(path).st_mtime > _FAILURE_LASTS_S:
            return None
    except OSError:
        return None
    return kept


def _read(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError:
        return b""
