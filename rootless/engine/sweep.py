"""Remove what killed commands left unfinished: scratch directories that nobody holds, old trash."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rootless import files

if TYPE_CHECKING:
    from rootless.engine import Engine

# Removing is not locked, so an entry of the trash may be somebody's work; after this it is nobody's.
_TRASH_AGE_S = 3600


def sweep(engine: Engine) -> None:
    """Remove all of it.  Nobody waits: what is locked is in use, and another sweep does as well."""
    for path in _entries(engine.paths.scratch):
        lock = files.lock_directory(path, wait=False)
        if lock is not None:
            try:
                engine.layers.remove(path)
            finally:
                os.close(lock)
    for path in _entries(engine.paths.trash):
        try:
            old = time.time() - os.lstat(path).st_ctime > _TRASH_AGE_S
        except FileNotFoundError:
            continue
        if old:
            engine.layers.remove(path)


def _entries(directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in os.listdir(directory)]
