"""exec: one more process in a running container, as our own child."""

from __future__ import annotations

import os

from rootless.engine.surroundings import (
    emulation,
    kernel_facts,
    profile_of,
    seccomp_filter,
)
from rootless.errors import Conflict
from rootless.kernel import mount
from rootless.kernel.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from rootless.lean import signal
from rootless.runtime import container as store
from rootless.runtime import launch, supervise
from rootless.runtime.joined_cgroup import JoinedCgroup
from rootless.runtime.journal import note_container
from rootless.runtime.plan import LaunchPlan, keeps_groups, plan_exec
from rootless.runtime.users import MAX_FILE_BYTES, find_user
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.requests import ExecRequest
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.container import Container
    from rootless.runtime.spec import Process

_CHUNK = 1 << 16


def execute(engine: Engine, request: ExecRequest) -> int:
    """Run the program in the container; its exit code, or 0 when it goes on detached.

    Raises Conflict when the container does not run, LaunchFailed (126, 127), NotFound for a user.
    """
    container = store.find(engine.paths, request.container or "")
    plan = plan_of(engine, container, request)
    state = container.state() or {}
    place = state.get("cgroup")
    cgroup = JoinedCgroup(place) if place else None
    note_container(engine.paths, container.record, "exec")
    if request.detach:
        return _detached(plan, cgroup)
    run = _on_terminal if request.tty else _on_streams
    code = run(plan, cgroup, interactive=request.interactive)
    note_container(engine.paths, container.record, "exec_died", containerExitCode=code)
    return code


def plan_of(
    engine: Engine, container: Container, request: ExecRequest, *, pid: int | None = None
) -> LaunchPlan:
    """How the process joins the container whose init is ``pid``."""
    if pid is None:
        pid = _pid_of(container)
    pid = store.process_to_join(pid)
    spec = container.spec()
    hidden: dict[str, str] = {}
    if container.record["launch"].get("secrets"):
        from rootless.engine.container_secrets import variables

        hidden = variables(container.record["launch"]["secrets"], container.bundle)
    process = _process(spec["process"], request, pid, hidden)
    return plan_exec(
        spec,
        process,
        pid,
        kernel_facts(engine.host),
        groups_allowed=not engine.id_map.is_single and not keeps_groups(spec),
        filter=b""
        if request.privileged
        else seccomp_filter(
            engine,
            profile=profile_of(container.record, container.bundle),
            capabilities=tuple(process["capabilities"]["bounding"]),
            terminal=request.tty,
        ),
        landlock=container.record["launch"]["landlock"],
        preserve_fds=request.preserve_fds,
        emulation=None
        if container.record["launch"].get("id_map")
        else emulation(
            engine,
            tuple(process["capabilities"]["bounding"]),
            stat=bool(process["user"]["uid"]),
        ),
    )


def _pid_of(container: Container) -> int:
    state = container.running()
    if state.get("status") == "paused":  # what joins its cgroup is stopped as well
        raise Conflict(
            f"container {container.name} is paused", hint=f"rootless unpause {container.name}"
        )
    return state["pid"]


def _process(
    of_container: Process, request: ExecRequest, pid: int, hidden: dict[str, str]
) -> Process:
    """``hidden`` are variables of the container that no document has."""
    user = of_container["user"]
    env = dict(each.partition("=")[::2] for each in of_container["env"]) | hidden
    if request.user is not None:
        found = find_user(request.user, *_identity(pid))
        user = {"uid": found.uid, "gid": found.gid, "additionalGids": list(found.groups)}
        env["HOME"] = found.home
    user["umask"] = of_container["user"].get("umask", 0o022)
    if request.tty:
        env.setdefault("TERM", "xterm")
    env.update(each.partition("=")[::2] for each in request.env)
    bounding = of_container["capabilities"]["bounding"]
    if request.privileged:
        bounding = _everything()
    effective = bounding if user["uid"] == 0 else []
    return {
        "terminal": request.tty,
        "user": user,
        "args": list(request.args),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": request.workdir or of_container["cwd"],
        "capabilities": {"bounding": bounding, "effective": effective, "permitted": effective},
        "rlimits": of_container.get("rlimits", []),
        "noNewPrivileges": of_container.get("noNewPrivileges", True) and not request.privileged,
    }


def _everything() -> list[str]:
    from rootless.kernel.capability import NAMES, last_capability

    return [f"CAP_{name}" for name in NAMES.split()[: last_capability() + 1]]


def _identity(pid: int) -> tuple[str, str]:
    """passwd and group of a running container, opened inside its root and bounded."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    texts = []
    for name in ("etc/passwd", "etc/group"):
        try:
            fd = mount.open_in_root(
                root,
                name,
                os.O_RDONLY | os.O_NONBLOCK,
                resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
            )
        except OSError:
            texts.append("")
            continue
        with open(fd, "rb") as file:
            texts.append(file.read(MAX_FILE_BYTES).decode(errors="replace"))
    os.close(root)
    return texts[0], texts[1]


def _on_streams(plan: LaunchPlan, cgroup: Cgroup | None, *, interactive: bool) -> int:
    stdin = 0 if interactive else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    created = launch.create(plan, (stdin, 1, 2), cgroup=cgroup)
    launch.start(created)
    return supervise.wait(created.pid)


def _detached(plan: LaunchPlan, cgroup: Cgroup | None) -> int:
    """Let a child of ours do it, which lives as long as the program: init of the launch is its child."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    created = launch.create(plan._replace(outlive=True), (null, null, null), cgroup=cgroup)
    launch.start(created)
    return 0


def _on_terminal(plan: LaunchPlan, cgroup: Cgroup | None, *, interactive: bool) -> int:
    """Relay between our terminal and the new one."""
    import termios
    import tty

    from rootless.runtime.relay import copy_size, relay

    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    created = launch.create(plan, (null, null, null), cgroup=cgroup)
    copy_size(created.terminal)
    launch.start(created)
    raw = interactive and os.isatty(0)
    saved = termios.tcgetattr(0) if raw else None
    previous = signal.signal(signal.SIGWINCH, lambda *_: copy_size(created.terminal))
    try:
        if saved is not None:
            tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is kept
        return relay(created.pid, created.terminal, interactive=interactive)
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        signal.signal(signal.SIGWINCH, previous)
