"""The file system of a container, whatever state it is in, and the host's: where ``cp`` works.

A running container is entered by its user namespace with a descriptor of its root, so that its own mounts
are seen.  One that does not run is mounted for the moment, with what would be bound into it, while its
lock is held: nobody starts or removes it meanwhile.
"""

from __future__ import annotations

import os
import time

from rootless.errors import Conflict
from rootless.rootfs import Rootfs
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, TypeVar
from rootless.userns import enter, join

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine
    from rootless.runtime.container import Container
    from rootless.runtime.spec import Mount
    from rootless.userns.enter import Child

T = TypeVar("T")
_PATIENCE_S = 30.0
_OF_KERNEL = ("/proc", "/sys", "/dev")


class Running:
    """A container that runs; ``close`` it."""

    def __init__(self, container: Container, state: store.State):
        self._fds: list[int] = []
        try:
            pid = store.process_to_join(state["pid"])
            self._fds.append(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC))
            self._fds.append(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
            # Whatever has that number by now: what was opened is the container's if init is still there.
            if store.process_start_time(state["pid"]) != state["start_time"]:
                raise ProcessLookupError
        except (FileNotFoundError, ProcessLookupError):
            self.close()
            raise Conflict(f"container {container.name} ended meanwhile") from None

    def spawn(self, function: Callable[[int], T]) -> Child[T]:
        """Run ``function(root)`` as the container's root, in a child."""
        root, namespace = self._fds
        return join.spawn_joined(lambda: function(root), namespace)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


class Stopped:
    """A container that does not run, held so that it stays so; ``close`` it."""

    def __init__(self, engine: Engine, container: Container, lock: int):
        self._engine = engine
        self._container = container
        self._lock = lock

    def spawn(self, function: Callable[[int], T]) -> Child[T]:
        """Run ``function(root)`` as root of a new user namespace with the container's files mounted."""
        from rootless.runtime.mounted import spawn_in_rootfs

        spec = self._container.spec()

        def inside(root: int) -> T:
            _bind_all(spec["mounts"], root)
            return function(root)

        return spawn_in_rootfs(rootfs_of(self._container), self._engine.id_map, inside)

    def close(self) -> None:
        self._container.let_go(self._lock)


class Host:
    """The files of the host; with ``as_root`` as root of our user namespace, for its subordinate ids."""

    def __init__(self, engine: Engine, *, as_root: bool):
        self._engine = engine
        self._as_root = as_root

    def spawn(self, function: Callable[[int], T]) -> Child[T]:
        """Run ``function(root)`` in a child."""

        def inside() -> T:
            return function(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

        if self._as_root:
            return enter.spawn(inside, self._engine.id_map)
        return join.spawn(inside)

    def close(self) -> None:
        """Nothing is held."""


def open_container(engine: Engine, container: Container) -> Running | Stopped:
    """Its files as they are now.  Raises Conflict while it is being started or removed."""
    patience = time.monotonic() + _PATIENCE_S
    while True:
        state = container.state()
        if state is not None and "pid" in state:
            return Running(container, state)
        if state is None:
            try:
                lock = container.hold()
                container.note_visit()
                return Stopped(engine, container, lock)
            except Conflict:
                pass  # somebody was quicker: it is being started, or another command looks into it
        if time.monotonic() > patience:
            raise Conflict(f"container {container.name} is being used by another command")
        time.sleep(0.01)


def rootfs_of(container: Container) -> Rootfs:
    """The directories of its root file system, to be mounted once more."""
    rootfs = Rootfs(**container.record["launch"]["rootfs"])
    # JSON knows no tuples.  A volatile overlay may be mounted only once.
    options = tuple(each for each in rootfs.options if each != "volatile")
    return rootfs._replace(lower=tuple(rootfs.lower), options=options)


def _bind_all(mounts: list[Mount], root: int) -> None:
    """CHILD SIDE: what the container would see in place of its own files."""
    from rootless.runtime.operations import BindMount, Root

    place = Root()
    place.fd = root
    for each in mounts:
        target = each["destination"]
        if each["type"] != "bind" or f"{target}/".startswith(tuple(f"{x}/" for x in _OF_KERNEL)):
            continue
        BindMount(each["source"], target, recursive="bind" not in each.get("options", ())).apply(
            place
        )
