"""HOST SIDE: remove containers, running or not (``rm``, ``container prune``)."""

from __future__ import annotations

import os

from rootless.engine.discard import drop
from rootless.engine.stopping import ask_to_end, signal_init, stop_one, wait_for_end
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed
from rootless.lean import signal
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.engine.container_requests import RemoveRequest
    from rootless.runtime.container import Container


def remove_containers(engine: Engine, request: RemoveRequest) -> list[str]:
    """``rm``: the names or ids as they were given, as they go.

    With ``time`` a container that runs gets its stop signal and so many seconds first; with ``depend`` those
    that depend on it go before it.
    """
    if request.time is not None and not request.force:
        raise InvalidRequest("--time is about stopping: it needs --force", hint="rm -f -t SECONDS")
    removed = []
    for name in request.containers:
        try:
            container = store.find(engine.paths, name)
        except StoreFailed:
            if not request.force:
                raise
            container = _unreadable(engine, name)
        doomed = [container]
        if request.depend:
            from rootless.engine.dependants import dependants

            doomed = [*dependants(engine, container), container]
        for each in doomed:
            if request.force and request.time and "pid" in (each.state() or {}):
                stop_one(each, grace_s=request.time)
            remove(engine, each, force=request.force, volumes=request.volumes)
        removed += [each.name for each in doomed[:-1]] + [name]
    return removed


def _unreadable(engine: Engine, name: str) -> Container:
    """A container whose record is damaged, with what its removal needs to know."""
    container_id = store.find_id(engine.paths, name)
    name = store.name_of(engine.paths, container_id)
    record = {"id": container_id, "name": name, "image": "", "labels": {}, "auto_remove": False}
    return store.Container(engine.paths, cast("store.Record", record))


def remove(
    engine: Engine, container: Container, *, force: bool = False, volumes: bool = False
) -> None:
    """Remove a container with everything that is its own.  Raises Conflict while it runs."""
    state = container.state()
    if state is not None:
        if not force and state.get("status") != store.INITIALIZED:
            raise Conflict(
                f"container {container.name} is running",
                hint=f"rootless stop {container.name}, or rm -f",
            )
        lost = _is_lost(container)
        _kill(container)
        if lost:  # its cgroup, too, is only found by looking at all
            from rootless.engine.sweep import sweep_containers

            sweep_containers(engine)
    drop(engine, container, volumes=volumes)


def remove_namesake(engine: Engine, name: str) -> None:
    """Remove the container of that name, if there is one (``--replace``)."""
    try:
        remove(engine, store.find(engine.paths, name), force=True)
    except NotFound:
        pass


def prune(engine: Engine, filters: tuple[str, ...] = ()) -> tuple[list[str], int]:
    """Remove every container that does not run; their ids, and how many bytes they had written."""
    from rootless.engine.selection import matching
    from rootless.engine.sizes import sizes

    removed, size = [], 0
    found = matching(engine, store.all_containers(engine.paths, engine.damaged), filters)
    ended = [each for each in found if each.state() is None]
    known = sizes(engine, ended)
    for container in ended:
        try:
            remove(engine, container)
        except Conflict:  # it was started meanwhile
            continue
        size += known[container.id].written
        removed.append(container.id)
    return removed, size


def _kill(container: Container) -> None:
    """End the container and wait until its supervisor has let go of it."""
    ask_to_end(container)
    while container.state() is not None:
        if not signal_init(container, signal.SIGKILL) and _is_lost(container):
            for pid in _holders(container):
                os.kill(pid, signal.SIGKILL)  # the container's processes end with it
        wait_for_end(container, 0.5)


def _is_lost(container: Container) -> bool:
    """Whether nobody can read any more which process it is."""
    try:
        store.read_state(container.run_directory)
    except NotFound:
        return False
    except StoreFailed:
        return True
    return False


def _holders(container: Container) -> Iterator[int]:
    """The processes of ours that have its lock open, which is whoever stands by it."""
    lock = os.path.realpath(container.alive_lock)
    for name in os.listdir("/proc"):
        try:
            fds = os.listdir(f"/proc/{name}/fd") if name.isdigit() else []
            places = {os.readlink(f"/proc/{name}/fd/{fd}") for fd in fds}
        except OSError:
            continue  # somebody else's, or gone
        if lock in places and int(name) != os.getpid():
            yield int(name)
