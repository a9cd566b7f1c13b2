"""Use cases on existing containers: list, remove."""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.errors import Conflict, HostLacks, InvalidRequest, NotFound, StoreFailed
from rootless.lean import signal
from rootless.runtime import container as store
from rootless.runtime.journal import note_container
from rootless.typed import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.engine import Engine
    from rootless.engine.container_requests import ListRequest, RemoveRequest
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.container import Container


class Listed(NamedTuple):
    """A line of ``ps``."""

    container: Container
    status: str
    state: store.State | None


def list_containers(engine: Engine, request: ListRequest) -> list[Listed]:
    """The containers that the request selects, newest first."""
    bury_the_dead(engine)
    found: Iterable[Container] = store.all_containers(engine.paths, engine.damaged)
    if request.filter:
        from rootless.engine.selection import matching

        found = matching(engine, found, request.filter)
    # Asking for a status asks for those that do not run, too.
    by_status = any(each.startswith(("status=", "exited=")) for each in request.filter)
    whatever = request.all or request.last or request.latest or by_status
    listed = []
    for container in found:
        state = container.state()
        status = container.status_in(state)
        if whatever or status in ("running", "paused"):
            listed.append(Listed(container, status, state))
    last = 1 if request.latest else request.last
    return listed[:last] if last else listed


def bury_the_dead(engine: Engine) -> None:
    """Before anybody looks: take note of the containers whose supervisor was killed."""
    try:
        if not os.listdir(f"{engine.paths.run}/containers"):
            return
    except FileNotFoundError:
        return
    from rootless.engine.sweep import bury_the_dead

    bury_the_dead(engine)


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
                from rootless.engine.lifecycle import stop_one

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


def drop(engine: Engine, container: Container, *, volumes: bool = False) -> None:
    """Take the container and its name away.  For who knows that nothing of it runs.

    Its anonymous volumes go with ``volumes``, and where it was to remove itself.
    """
    doomed = f"{engine.paths.trash}/{container.id}-{files.random_name(4)}"
    try:
        os.rename(container.bundle, doomed)
    except FileNotFoundError:
        return
    finally:  # not before: while its container is there, nobody else can take a name away
        store.release_name(engine.paths, container.name, container.id)
    note_container(engine.paths, container.record, "remove")
    discard(engine, doomed)
    if (volumes or container.record["auto_remove"]) and container.record.get("anonymous_volumes"):
        from rootless.engine.mounts import remove_anonymous

        remove_anonymous(engine, container.record)


def remove_namesake(engine: Engine, name: str) -> None:
    """Remove the container of that name, if there is one (``--replace``)."""
    try:
        remove(engine, store.find(engine.paths, name), force=True)
    except NotFound:
        pass


def discard(engine: Engine, path: str) -> None:
    """Remove a tree of ours, from inside the user namespace only where that is needed."""
    try:
        files.remove_tree(path, missing_ok=True)
    except OSError:  # files of subordinate ids, or on NFS some that are still read
        engine.layers.remove(path)


def ask_to_end(container: Container) -> None:
    """Tell the monitor that the end is wanted, so that no restart policy undoes it."""
    try:
        with open(f"{container.run_directory}/stop", "w"):
            pass
    except FileNotFoundError:
        pass


def signal_init(container: Container, number: int) -> bool:
    """Signal the container's first process; False when it does not run."""
    state = container.state()
    if state is None or "pid" not in state:
        return False
    if store.process_start_time(state["pid"]) != state["start_time"]:
        return False
    try:
        os.kill(state["pid"], number)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(container: Container, seconds: float | None) -> bool:
    """Wait until nobody holds the container's lock; False when the time is over first."""
    patience = None if seconds is None else time.monotonic() + seconds
    pause = 0.002
    while container.state() is not None:
        if patience is not None and time.monotonic() >= patience:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


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


def rename(engine: Engine, name: str, new_name: str) -> None:
    """Give a container another name.  Raises Conflict when another container has it."""
    container = store.find(engine.paths, name)
    store.check_name("container", new_name)
    old_name = container.name
    if new_name == old_name:
        raise Conflict(f"container {old_name} is already called that")
    store.claim_name(engine.paths, new_name, container.id)
    store.update_record(container, {"name": new_name})
    store.release_name(engine.paths, old_name, container.id)
    note_container(engine.paths, container.record, "rename", oldName=old_name)


def pause(engine: Engine, name: str) -> None:
    """Stop all processes of a container where they are.  Raises Conflict, HostLacks."""
    container = store.find(engine.paths, name)
    cgroup = _cgroup_of(container)
    if container.status() == "paused":
        raise Conflict(f"container {container.name} is paused already")
    cgroup.freeze()
    note_container(engine.paths, container.record, "pause")


def unpause(engine: Engine, name: str) -> None:
    """Let them go on.  Raises Conflict for a container that is not paused."""
    container = store.find(engine.paths, name)
    cgroup = _cgroup_of(container)
    if container.status() != "paused":
        raise Conflict(f"container {container.name} is not paused")
    cgroup.thaw()
    note_container(engine.paths, container.record, "unpause")


def _cgroup_of(container: Container) -> Cgroup:
    from rootless.runtime.cgroup import Cgroup

    state = container.running()
    if not state.get("cgroup"):
        raise HostLacks(
            f"container {container.name} has no cgroup that could be frozen",
            hint="start it with: systemd-run --user --scope -p Delegate=yes rootless ...",
        )
    return Cgroup(state["cgroup"])


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
