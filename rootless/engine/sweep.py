"""Remove what killed commands left: run-time state that nobody holds, unfinished trees, old trash."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.errors import Conflict, NotFound, RootlessError
from rootless.runtime import cgroup
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine

# Removing is not locked, so an entry of the trash may be somebody's work; after this it is nobody's.
_TRASH_AGE_S = 3600
# A run-time directory may be made shortly before its lock.
_YOUNG_S = 10.0


def sweep(engine: Engine) -> None:
    """Unfinished trees and trash.  Nobody waits: what is locked is in use, and another sweep does as well."""
    for path in _entries(engine.paths.scratch):
        lock = files.lock_directory(path, wait=False)
        if lock is not None:
            try:
                engine.layers.remove(path)
            finally:
                os.close(lock)
    for path in _entries(engine.paths.trash):
        if _age_s(path) > _TRASH_AGE_S:
            engine.layers.remove(path)


def sweep_containers(engine: Engine) -> None:
    """What containers left whose supervisor was killed: their cgroup, their state, and with ``--rm`` all."""
    parent = cgroup.delegated(engine.host.cgroup2_mount)
    for directory in _entries(f"{engine.paths.run}/containers"):
        _sweep_container(engine, directory, parent)
    if parent is not None:
        cgroup.remove_leftovers(parent)


def _entries(directory: str) -> list[str]:
    try:
        return [f"{directory}/{name}" for name in os.listdir(directory)]
    except FileNotFoundError:
        return []


def _sweep_container(engine: Engine, directory: str, parent: str | None) -> None:
    if not os.path.exists(f"{directory}/alive.lock"):
        if _age_s(directory) > _YOUNG_S:
            files.remove_tree(directory, missing_ok=True)
        return
    try:
        with files.lock(f"{directory}/alive.lock", wait=False):
            _end_cgroup(directory)
            if parent is not None:
                cgroup.remove_leftovers(parent, container_id=os.path.basename(directory))
            files.remove_tree(directory, missing_ok=True)
    except (Conflict, FileNotFoundError):
        return  # it runs
    try:
        container = store.load(engine.paths, os.path.basename(directory))
    except RootlessError:
        return
    if container.record["auto_remove"]:
        from rootless.engine.containers import remove

        remove(engine, container)


def _end_cgroup(directory: str) -> None:
    try:
        state = store.read_state(directory)
    except NotFound:
        return
    if state.get("cgroup"):
        from rootless.runtime.cgroup import Cgroup

        left = Cgroup(state["cgroup"])
        left.kill()
        left.remove()


def _age_s(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_ctime
    except OSError:
        return 0.0
