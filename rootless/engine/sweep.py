"""Clear away what killed processes left: run-time state nobody holds, unfinished and deleted trees."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rootless import files
from rootless.errors import Conflict, NotFound, RootlessError
from rootless.runtime import container as store
from rootless.runtime.cgroup import Cgroup

if TYPE_CHECKING:
    from rootless.engine import Engine

_YOUNG_S = 10.0  # a directory may be made shortly before its lock


def sweep(engine: Engine) -> None:
    """Do it, in the little time that three directory listings take where nothing was left."""
    for container_id in _names(f"{engine.paths.run}/containers"):
        _sweep_container(engine, container_id)
    for name in _names(engine.paths.scratch):
        _sweep_scratch(engine, f"{engine.paths.scratch}/{name}")
    for name in _names(engine.paths.trash):
        _discard(engine, f"{engine.paths.trash}/{name}")


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _sweep_container(engine: Engine, container_id: str) -> None:
    directory = engine.paths.running(container_id)
    if not os.path.exists(f"{directory}/alive.lock"):
        if _age_s(directory) > _YOUNG_S:
            files.remove_tree(directory, missing_ok=True)
        return
    try:
        with files.lock(f"{directory}/alive.lock", wait=False):
            _end_cgroup(directory)
            files.remove_tree(directory, missing_ok=True)
    except (Conflict, FileNotFoundError):
        return  # it runs
    try:
        container = store.load(engine.paths, container_id)
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
        cgroup = Cgroup(state["cgroup"])
        cgroup.kill()
        cgroup.remove()


def _sweep_scratch(engine: Engine, path: str) -> None:
    """Unfinished work is locked by whoever does it (files.scratch)."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    if _age_s(path) < _YOUNG_S:
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        _discard(engine, path)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)


def _discard(engine: Engine, path: str) -> None:
    from rootless.engine.containers import discard

    try:
        discard(engine, path)
    except OSError:
        pass  # another process sweeps, too


def _age_s(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0
