"""Remove what killed commands left: run-time state that nobody holds, unfinished trees, old trash."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.engine.discard import drop
from rootless.errors import Conflict, NotFound, RootlessError, StoreFailed
from rootless.runtime import cgroup
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine

# Removing is not locked, so an entry of the trash may be somebody's work; after this it is nobody's.
_TRASH_AGE_S = 3600
# A run-time directory may be made shortly before its lock.
_YOUNG_S = 10.0
_KILLED = 128 + 9


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


def bury_the_dead(engine: Engine, lost: list[str]) -> None:
    """Before containers are listed: take note of those whose supervisor was killed.

    Of the ``lost`` a reboot has taken the run-time state away, or a logout.
    """
    for container_id in lost:
        _settle_lost(engine, container_id)
    for directory in _entries(f"{engine.paths.run}/containers"):
        if not files.is_locked(f"{directory}/alive.lock"):
            _sweep_container(engine, directory, None)


def bury(engine: Engine, container: store.Container) -> None:
    """The same for one container."""
    _sweep_container(engine, container.run_directory, None)


def _entries(directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in files.names_in(directory)]


def _sweep_container(engine: Engine, directory: str, parent: str | None) -> None:
    if not os.path.exists(f"{directory}/alive.lock"):
        if _age_s(directory) > _YOUNG_S:
            files.remove_tree(directory, missing_ok=True)
        return
    try:
        with files.lock(f"{directory}/alive.lock", wait=False) as fd:
            if not files.is_at(fd, f"{directory}/alive.lock"):
                return  # somebody else was here
            _end_cgroup(directory)
            if parent is not None:
                cgroup.remove_leftovers(parent, container_id=os.path.basename(directory))
            if not os.path.exists(f"{directory}/{store.VISITED}"):
                _settle(engine, directory)
            files.remove_but_open(directory)
    except (Conflict, FileNotFoundError):
        return  # it runs


def _settle(engine: Engine, directory: str) -> None:
    """With ``--rm`` the container goes; another one that ran is recorded as killed."""
    try:
        container = store.load(engine.paths, os.path.basename(directory))
    except RootlessError:
        return
    if _drops(engine, container):
        return
    try:
        state = store.read_state(directory)
    except (NotFound, StoreFailed):
        return
    if state.get("status") == store.INITIALIZED:
        return  # its program never ran
    started = state.get("started") or container.record["created"]
    _note_killed(container, started, "its monitor was killed")


def _settle_lost(engine: Engine, container_id: str) -> None:
    try:
        container = store.load(engine.paths, container_id)
        alive = container.hold()
    except RootlessError:  # it is damaged, gone, or has been started meanwhile
        return
    try:
        begun = os.stat(f"{container.bundle}/{store.BEGUN}").st_mtime_ns
        if not _drops(engine, container):
            why = "the machine or the user's session ended"
            _note_killed(container, store.timestamp(begun), why)
    except FileNotFoundError:
        pass  # somebody else was here
    finally:
        container.let_go(alive)


def _drops(engine: Engine, container: store.Container) -> bool:
    """Remove a container with ``--rm``; whether it was one."""
    if not container.record["auto_remove"]:
        return False
    drop(engine, container)
    return True


def _note_killed(container: store.Container, started: str, why: str) -> None:
    last: store.Exit = {
        "started": started,
        "finished": store.timestamp(),
        "exit_code": _KILLED,
        "oom_killed": False,
        "error": why,
    }
    store.note_end(container.bundle, last)


def _end_cgroup(directory: str) -> None:
    try:
        state = store.read_state(directory)
    except (NotFound, StoreFailed):
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
