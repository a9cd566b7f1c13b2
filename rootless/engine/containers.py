"""Use cases on existing containers: list, remove."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import Conflict, HostLacks
from rootless.runtime import container as store
from rootless.runtime.journal import note_container
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.engine import Engine
    from rootless.engine.container_requests import ListRequest
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
    held = files.names_in(f"{engine.paths.run}/containers")
    lost = [
        each
        for each in set(store.ids_of(engine.paths)).difference(held)
        if os.path.exists(f"{engine.paths.container(each)}/{store.BEGUN}")
    ]
    if not held and not lost:
        return
    from rootless.engine.sweep import bury_the_dead

    bury_the_dead(engine, lost)


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
