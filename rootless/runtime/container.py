"""Containers on disk: a bundle, our record of it, and the state that lives while it runs.

Liveness is a held lock (ADR 0005): the supervisor or monitor flocks ``alive.lock`` for the container's
life, so a killed one never leaves a stale "running".
"""

from __future__ import annotations

import os
import time

from rootless import files, lean
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.paths import Paths
    from rootless.runtime.spec import Spec

_ID_LENGTH = 64
SHORT_ID_LENGTH = 12  # as docker shows it
VISITED = "visited"
INITIALIZED = "initialized"  # all is there but the program
OOM = "oom"  # a watchdog has ended the container
_HOLD_PATIENCE_S = 2.0
_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_REST = _NAME_FIRST | frozenset("_.-")


class Record(TypedDict):
    """container.json: what we know of a container beyond its runtime-spec document.

    ``settings`` is the request as it was given, field by field, defaults left out.
    """

    id: str
    name: str
    created: str
    image: str  # the reference it was made from
    image_id: str
    chain: list[str]
    args: list[str]
    labels: dict[str, str]
    auto_remove: bool
    stop_signal: str
    stop_timeout: float
    settings: dict[str, Any]
    backends: dict[str, str]  # which id map, storage, network, cgroup and tier were chosen
    launch: dict[str, Any]  # what planning needs besides the spec: seccomp, landlock, network ...
    health: NotRequired[dict[str, Any]]  # HealthOptions, where there is a check
    mounts: NotRequired[list[dict[str, Any]]]  # as docker's inspect lists them
    further_chain: NotRequired[list[str]]  # layers of other images that it mounts
    anonymous_volumes: NotRequired[list[str]]  # made for it; they go with it where that was asked
    last: NotRequired[Exit]
    stopped: NotRequired[bool]  # somebody had it stopped; kept where the restart policy asks


# In the bundle while its program runs: run-time state is gone after a reboot, and this is not.
BEGUN = "begun"

# Without these nothing can be done with a container, not even listing it.
REQUIRED = {
    "name": str,
    "created": str,
    "image": str,
    "image_id": str,
    "chain": list,
    "args": list,
    "labels": dict,
    "auto_remove": bool,
    "launch": dict,
    "settings": dict,
}


class Exit(TypedDict, total=False):
    """How the last run of a container went."""

    started: str
    finished: str
    exit_code: int
    oom_killed: bool
    error: str
    restarts: int


class State(TypedDict, total=False):
    """state.json in the run-time directory, written when init exists; gone or unlocked: stopped."""

    pid: int
    start_time: int  # field 22 of /proc/PID/stat: with the pid, it names one process for ever
    started: str
    status: str  # created, initialized, running, paused
    cgroup: str
    network: dict[str, Any]
    monitor: int
    health: dict[str, Any]


class Container(NamedTuple):
    """A container: its id, where it lives, and its record as it was read."""

    paths: Paths
    record: Record

    @property
    def id(self) -> str:
        return self.record["id"]

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def bundle(self) -> str:
        return self.paths.container(self.id)

    @property
    def run_directory(self) -> str:
        return self.paths.running(self.id)

    @property
    def alive_lock(self) -> str:
        return f"{self.run_directory}/alive.lock"

    def hold(self) -> int:
        """Take the lock that says "running"; closing the descriptor says it no longer does.

        Raises Conflict when the container runs already.
        """
        patience = time.monotonic() + _HOLD_PATIENCE_S
        while True:
            os.makedirs(self.run_directory, mode=0o700, exist_ok=True)
            try:
                fd = files.open_lock(self.alive_lock, wait=False)
            except FileNotFoundError:  # somebody swept the empty directory away
                fd = -1
            except Conflict:  # whoever lists containers or sweeps has it for a moment, too
                fd = -1
            if fd >= 0:
                if files.is_at(fd, self.alive_lock):
                    self._forget_killed()
                    return fd
                os.close(fd)
            if time.monotonic() > patience:
                raise Conflict(f"container {self.name} runs already, or is being removed")
            time.sleep(0.005)

    def let_go(self, alive: int) -> None:
        """Take the run-time state away, then give up the lock: while it is held the container runs."""
        files.remove_but_open(self.run_directory)
        os.close(alive)

    def note_visit(self) -> None:
        """Whoever holds it only looks into its files: when they are killed, nothing of it was."""
        with open(f"{self.run_directory}/{VISITED}", "w"):
            pass

    def _forget_killed(self) -> None:
        """What is there was left by a supervisor that was killed."""
        for name in ("state.json", "stop", OOM, VISITED):
            files.discard(f"{self.run_directory}/{name}")

    def spec(self) -> Spec:
        """config.json."""
        return read_spec(self.bundle)

    def state(self) -> State | None:
        """What runs, or None: the lock says whether, state.json says what."""
        if not files.is_locked(self.alive_lock):
            return None
        try:
            state = read_state(self.run_directory)
        except NotFound:
            return {"status": "created"}
        except StoreFailed:  # somebody holds the lock, so it runs; who it is was lost
            return {"status": "running"}
        if state.get("cgroup") and is_frozen(state["cgroup"]):
            state["status"] = "paused"
        return state

    def check_known(self) -> None:
        """Raise StoreFailed where it runs, and state.json does not say any more as which process."""
        state = self.state()
        if state is None or "pid" in state:
            return
        try:
            read_state(self.run_directory)
        except NotFound:
            pass  # it is about to start, or to end
        except StoreFailed as error:
            raise StoreFailed(
                f"container {self.name} runs, but {error.message}",
                hint=f"rootless rm -f {self.name} ends and removes it",
            ) from None

    def running(self) -> State:
        """What runs, with the pid of its init.  Raises Conflict where nothing does, StoreFailed."""
        state = self.state()
        if state is not None and "pid" not in state:
            self.check_known()
        if state is None or "pid" not in state or state["status"] == INITIALIZED:
            raise Conflict(
                f"container {self.name} is not running", hint=f"rootless start {self.name}"
            )
        return state

    def status(self) -> str:
        """``created``, ``initialized``, ``running``, ``paused`` or ``exited``, as docker's or podman's ps words it."""
        return self.status_in(self.state())

    def status_in(self, state: State | None) -> str:
        """The status that a state, which was read before, means."""
        if state is not None:
            return state.get("status", "running")
        return "exited" if "last" in self.record else "created"


def is_frozen(cgroup: str) -> bool:
    """What pauses a container is the freezer of its cgroup; no other record can disagree with it."""
    try:
        return files.read_bytes(f"{cgroup}/cgroup.freeze").startswith(b"1")
    except OSError:
        return False


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it may name a container, volume or network; raises InvalidRequest."""
    if not name or name[0] not in _NAME_FIRST or not _NAME_REST.issuperset(name) or len(name) > 128:
        raise InvalidRequest(
            f"{kind} name {name!r} is not valid",
            hint="letters, digits and _ . - in it, a letter or digit first",
        )
    return name


def new_id() -> str:
    """64 random hex digits; the short form is a host name, so it is never a number.

    Resolvers read a name of digits alone as an address (inet_aton(3)), and find nobody.
    """
    while True:
        made = files.random_name(_ID_LENGTH // 2)
        if not made[:SHORT_ID_LENGTH].isdigit():
            return made


def timestamp(seconds_ns: int | None = None) -> str:
    """RFC 3339 in UTC with nanoseconds, as docker writes times."""
    now = time.time_ns() if seconds_ns is None else seconds_ns
    seconds, rest = divmod(now, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def claim_name(paths: Paths, name: str, container_id: str) -> None:
    """Give the name to the container in one step.  Raises Conflict when another has it.

    A claim is good while its container exists, or while somebody holds the lock of one to come.
    """
    os.makedirs(paths.names, mode=0o700, exist_ok=True)
    place = f"{paths.names}/{name}"
    with files.lock(f"{paths.names}.lock"):
        try:
            owner = os.path.basename(os.readlink(place))
        except FileNotFoundError:
            owner = ""
        if owner and _is_there(paths, owner):
            raise Conflict(
                f"the name {name!r} is in use by container {owner[:12]}",
                hint=f"rootless rm {name}, or choose another --name",
            )
        if owner:  # left by somebody who was killed
            os.unlink(place)
        os.symlink(f"../containers/{container_id}", place)


def _is_there(paths: Paths, container_id: str) -> bool:
    return os.path.isdir(paths.container(container_id)) or files.is_locked(
        f"{paths.running(container_id)}/alive.lock"
    )


def release_name(paths: Paths, name: str, container_id: str) -> None:
    """Give the name up, if it is this container's."""
    place = f"{paths.names}/{name}"
    with files.lock(f"{paths.names}.lock"):
        try:
            if os.path.basename(os.readlink(place)) == container_id:
                os.unlink(place)
        except FileNotFoundError:
            pass


def write_record(bundle: str, record: Record, *, durable: bool = False) -> None:
    """Replace container.json."""
    files.write_atomic(f"{bundle}/container.json", _to_json(record), durable=durable)


def update_record(container: Container, changes: dict[str, Any]) -> None:
    """Change fields of container.json as it is now on disk; a container that is gone stays gone."""
    record = change_record(container.bundle, changes)
    if record is not None:
        container.record.update(record)


def change_record(bundle: str, changes: dict[str, Any]) -> Record | None:
    """The same by the bundle's path; what the record is then, None where there is none."""
    try:
        with files.lock(f"{bundle}/record.lock"):
            record: Record = _read_json(f"{bundle}/container.json")
            record.update(changes)  # type: ignore[typeddict-item]  # fields of it, by name
            write_record(bundle, record)
    except (FileNotFoundError, NotFound):
        return None
    return record


def note_begin(bundle: str) -> None:
    """The container's program runs now."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    os.close(os.open(f"{bundle}/{BEGUN}", flags, 0o600))


def note_end(bundle: str, last: Exit) -> Record | None:
    """It has ended, and how; what the record is then, None where there is none."""
    record = change_record(bundle, {"last": last})
    files.discard(f"{bundle}/{BEGUN}")
    return record


def read_spec(bundle: str) -> Spec:
    """config.json of the bundle at that place."""
    document: Spec = _read_json(f"{bundle}/config.json")
    return document


def write_spec(bundle: str, spec: Spec) -> None:
    """Replace config.json."""
    files.write_atomic(f"{bundle}/config.json", _to_json(spec), durable=False)


def read_state(run_directory: str) -> State:
    """state.json, whether or not somebody still stands behind it.  Raises NotFound, StoreFailed."""
    state: State = _read_json(f"{run_directory}/state.json")
    if not isinstance(state, dict):
        raise StoreFailed(f"{run_directory}/state.json is damaged: it is no record")
    return state


def write_state(container: Container, state: State) -> None:
    """Replace state.json."""
    put_state(container.run_directory, state)


def put_state(run_directory: str, state: State) -> None:
    """The same by the path of the directory."""
    files.write_atomic(f"{run_directory}/state.json", _to_json(state), durable=False)


def find(paths: Paths, name_or_id: str) -> Container:
    """The container of that name, id or unambiguous prefix of an id.

    Raises NotFound; Conflict when a prefix fits several; StoreFailed when its record is damaged.
    """
    return load(paths, find_id(paths, name_or_id))


def find_id(paths: Paths, name_or_id: str) -> str:
    """The full id of a container, whose record may be damaged.  Raises NotFound, Conflict."""
    try:
        owner = os.path.basename(os.readlink(f"{paths.names}/{name_or_id}"))
        if os.path.isdir(paths.container(owner)):
            return owner
    except (OSError, ValueError):
        pass
    ids = [each for each in ids_of(paths) if each.startswith(name_or_id)] if name_or_id else []
    if len(ids) > 1 and name_or_id not in ids:
        raise Conflict(f"container id {name_or_id!r} is ambiguous: {len(ids)} begin with it")
    if not ids:
        raise NotFound(f"no container {name_or_id!r}", hint="rootless ps -a lists them")
    return name_or_id if name_or_id in ids else ids[0]


def ids_of(paths: Paths) -> list[str]:
    """The ids of all containers, in no order."""
    return [name for name in files.names_in(paths.containers) if len(name) == _ID_LENGTH]


def load(paths: Paths, container_id: str) -> Container:
    """The container with that full id.  Raises NotFound, StoreFailed for a damaged record."""
    bundle = paths.container(container_id)
    try:
        record = lean.loads(files.read_bytes(f"{bundle}/container.json"))
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(bundle):  # one that is removed vanishes as a whole
            raise _damaged(paths, container_id, "it is missing") from None
        raise NotFound(f"no container {container_id[:SHORT_ID_LENGTH]}") from None
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise _damaged(paths, container_id, str(why)) from None
    wrong = wrong_fields(record, container_id)
    if wrong:
        raise _damaged(paths, container_id, f"it has no proper {wrong[0]}")
    return Container(paths, record)


def wrong_fields(record: object, container_id: str) -> list[str]:
    """What a record lacks, or has of another type."""
    if not isinstance(record, dict) or record.get("id") != container_id:
        return ["id"]
    return [key for key, kind in REQUIRED.items() if not isinstance(record.get(key), kind)]


def name_of(paths: Paths, container_id: str) -> str:
    """The name that leads to a container whose record is damaged, or else its short id."""
    for name in files.names_in(paths.names):
        try:
            if os.path.basename(os.readlink(f"{paths.names}/{name}")) == container_id:
                return name
        except OSError:
            continue
    return container_id[:SHORT_ID_LENGTH]


def _damaged(paths: Paths, container_id: str, why: str) -> StoreFailed:
    short, name = container_id[:SHORT_ID_LENGTH], name_of(paths, container_id)
    what = short if name == short else f"{name} ({short})"
    return StoreFailed(
        f"the record of container {what} is damaged: {why}", hint=f"rootless rm -f {short}"
    )


def all_containers(paths: Paths, damaged: list[StoreFailed] | None = None) -> Iterator[Container]:
    """Every container, newest first; one that vanishes meanwhile is left out.

    Damaged ones are added to ``damaged``.  Without it raises StoreFailed: for who must know them all.
    """
    found = []
    for container_id in ids_of(paths):
        try:
            found.append(load(paths, container_id))
        except NotFound:
            continue
        except StoreFailed as error:
            if damaged is None:
                raise
            damaged.append(error)
    yield from sorted(found, key=lambda each: each.record["created"], reverse=True)


def process_start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone (proc(5), stat field 22)."""
    try:
        stat = files.read_bytes(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def process_to_join(pid: int) -> int:
    """A process by which the namespaces of the container whose first process is ``pid`` can be opened.

    An init of ours (``--init``) keeps the host's interpreter and so lets nobody look at it, us included;
    its oldest child is the program, which does.
    """
    try:
        os.stat(f"/proc/{pid}/ns/user")
    except PermissionError:
        children = files.read_bytes(f"/proc/{pid}/task/{pid}/children").split()
        return int(children[0]) if children else pid
    except FileNotFoundError:
        pass  # it has ended; whoever opens the namespaces will say so
    return pid


def _read_json(path: str) -> Any:
    try:
        return lean.loads(files.read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no file {path}") from None
    except ValueError as error:
        raise StoreFailed(f"{path} is damaged: {error}", hint="rootless system check") from None


def _to_json(document: Any) -> bytes:
    return lean.dumps(document).encode()
