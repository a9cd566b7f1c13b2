"""HOST SIDE of a launch: fork, id maps, cgroup; errors become messages."""

from __future__ import annotations

import errno as errors
import gc
import os
import struct
from _socket import AF_UNIX, CMSG_SPACE, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair

from rootless.errors import LaunchFailed
from rootless.kernel import process, trace
from rootless.runtime import handshake, stage
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NoReturn
from rootless.userns.maps import write_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.plan import LaunchPlan

_SIGTRAP = 5
_SIGKILL = 9
_LAST_WORDS_MS = 1000
_STOPS = (19, 20, 21, 22)  # SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: nobody would wake it


class Created(NamedTuple):
    """A container whose init waits for the word to start; the three words of ``create``.

    ``terminal`` is the multiplexer of its pseudo-terminal, or -1; ``supervisor`` the process that answers
    for ``plan.emulation``, or 0; ``shower`` the one that the network helper looks at, if it is not init.
    """

    plan: LaunchPlan
    pid: int
    channel: socket
    terminal: int
    supervisor: int = 0
    shower: int = 0


def create(
    plan: LaunchPlan,
    stdio: tuple[int, int, int] = (0, 1, 2),
    *,
    cgroup: Cgroup | None = None,
    attach: Callable[[int], None] | None = None,
) -> Created:
    """Fork, map, and let the stage apply the plan up to the point where only exec is missing.

    ``cgroup`` takes init before anything of the container exists, and ``attach``, which starts the network
    helper, is called beside the mounts with the pid of a process in the same network.
    Raises LaunchFailed with the failed operation's own words; nothing is left behind then.
    """
    process.become_subreaper()
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    supervise = _supervisor(plan)  # imported here: the child must import nothing
    # The child's garbage collector must not touch, and so copy, the pages that we share.
    gc.disable()
    gc.freeze()
    server = _start_fuse(plan) if plan.fuse_map is not None else -1
    forker = os.fork()
    if forker == 0:
        ours.close()
        stage.run(plan, theirs, stdio, supervise, fuse=server, birthplace=_birthplace(cgroup))
    gc.unfreeze()
    gc.enable()
    theirs.close()
    if server >= 0:
        os.close(server)
    pid = supervisor = shower = 0
    try:
        pid, supervisor, shower, born = _expect_pids(plan, ours)
        if cgroup is not None:
            cgroup.add(pid, born=born)
        if plan.oom_score_adj is not None:
            _write_oom_score(pid, plan.oom_score_adj)
        if plan.id_map is not None:
            write_maps(pid, plan.id_map)
        # Init sets its parent-death signal once it hears from us: by then we must be its parent.
        os.waitpid(forker, 0)
        forker = 0
        ours.send(handshake.MAPPED)
        if attach is not None:
            attach(shower or pid)
        return Created(plan, pid, ours, _expect_ready(plan, ours), supervisor, shower)
    except BaseException:
        ours.close()
        for child in (
            forker,
            pid,
            supervisor,
            shower,
        ):  # the others are our children once that one is gone
            if child:
                kill(child)
        raise


def _birthplace(cgroup: Cgroup | None) -> int:
    """A descriptor of the directory in which init may be born, or -1."""
    if cgroup is None or not cgroup.birthplace:
        return -1
    try:
        return os.open(cgroup.birthplace, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1  # to take init will fail, too, with the reason


def _start_fuse(plan: LaunchPlan) -> int:
    """Start what will serve the root, as root of a user namespace with the map of the layers' owners.

    Returns our end of a socket to it; it ends when that closes, or later when the container's mounts do.
    """
    from rootless.kernel import link
    from rootless.userns import enter

    read_end, write_end = link.descriptor_pair()

    def serve() -> None:
        os.close(write_end)
        stage.serve_fuse(plan, read_end)

    enter.spawn(serve, plan.fuse_map)  # type: ignore[arg-type]  # asked before
    os.close(read_end)
    return write_end


def start(created: Created) -> None:
    """Let init drop its privileges and execute the program; returns when it runs, or has ended already.

    Raises LaunchFailed: 127 when the program is not there, 126 when it cannot be executed.  After any
    exception the process is reaped: left dead in its pid namespace it would keep that from ending.
    """
    channel = created.channel
    if created.shower:  # the network is there
        kill(created.shower)
    try:
        channel.send(handshake.START)
        message = channel.recv(64)
        if message == handshake.TRACED:
            _watch_exec(created.pid)
        if message in (handshake.TRACED, handshake.UNTRACED):
            message = channel.recv(64)
    except (BrokenPipeError, ConnectionResetError):
        message = b""
    except BaseException:
        kill(created.pid)
        raise
    finally:
        channel.close()
    if message:
        kill(created.pid)
        _raise(created.plan, message)


def _watch_exec(pid: int) -> None:
    """Wait until our traced child has become its program, or has ended; let it go unless it is we.

    A script of the image may name /proc/self/exe, which is our interpreter: then code of the image would
    run under our file and could overwrite it (CVE-2019-5736).  Nothing of it has run when we look.
    """
    while True:
        seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        if seen is None or seen.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            return  # its failure is on the channel, its status for the caller
        os.waitpid(pid, 0)
        if seen.si_status == _SIGTRAP:
            break
        _unless_gone(trace.resume, pid, 0 if seen.si_status in _STOPS else seen.si_status)
    found = _unless_gone(trace.file_and_mount, f"/proc/{pid}/exe")
    if found == trace.file_and_mount("/proc/self/exe"):
        raise LaunchFailed(
            "the program leads to the interpreter that runs rootless, by /proc/self/exe",
            hint="the image is made to attack whoever runs it",
            exit_code=126,
        )
    _unless_gone(trace.detach, pid)


def _unless_gone(act: Callable[..., Any], *arguments: object) -> Any:
    """Do that to a process that anybody may kill at any moment; None where it was."""
    try:
        return act(*arguments)
    except (ProcessLookupError, FileNotFoundError):
        return None


def kill(pid: int) -> None:
    """End a child and reap it; one that is reaped already may be somebody else's number by now."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def end_supervisor(pid: int) -> None:
    """Once a container has ended: nobody is left to be answered.  ``pid`` may be 0."""
    if not pid:
        return
    import select

    try:  # it sees the end by itself, and may have something left to write down
        fd = os.pidfd_open(pid)
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        waiting.poll(_LAST_WORDS_MS)
        os.close(fd)
    except OSError:
        pass
    kill(pid)


def _supervisor(plan: LaunchPlan) -> Callable[[int, int], NoReturn] | None:
    if plan.emulation is None or not plan.emulation.ask:
        return None
    from rootless.runtime import emulation

    known = plan.emulation
    return lambda listener, root: emulation.serve(known, listener, root)


def _expect_pids(plan: LaunchPlan, channel: socket) -> tuple[int, int, int, bool]:
    message = channel.recv(64)
    if message[:1] != handshake.PID:
        _raise(plan, message)
    _, pid, supervisor, shower, born = handshake.PID_MESSAGE.unpack(message)
    return pid, supervisor, shower, born


def _expect_ready(plan: LaunchPlan, channel: socket) -> int:
    message, ancillary, _, _ = channel.recvmsg(64, CMSG_SPACE(4))
    if message[:1] != handshake.READY:
        _raise(plan, message)
    for _, _, content in ancillary:
        fd = int(struct.unpack("i", content[:4])[0])
        os.set_inheritable(fd, False)
        return fd
    return -1


def _write_oom_score(pid: int, value: int) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(value))
    except OSError as error:
        raise LaunchFailed(
            f"cannot set the OOM score {value}: {error.strerror}",
            hint="only an administrator may lower it below the caller's own",
        ) from None


def _raise(plan: LaunchPlan, message: bytes) -> NoReturn:
    if message[:1] != handshake.FAILED:
        raise LaunchFailed("the container's first process ended before it was ready")
    _, step, number = handshake.FAILED_MESSAGE.unpack(message)
    raise failure(plan, step, number)


_FIRST_STEPS = {
    handshake.STEP_JOIN: "join the container's namespaces",
    handshake.STEP_USER_NAMESPACE: "create a user namespace",
    handshake.STEP_NAMESPACES: "create the container's namespaces",
    handshake.STEP_FORK: "fork the container's first process",
    handshake.STEP_BECOME_ROOT: "become root of the user namespace",
}
_HINTS = {
    (
        handshake.STEP_JOIN,
        errors.EPERM,
    ): "they belong to another user namespace: --userns ns:PATH or container:NAME enters that",
    (handshake.STEP_USER_NAMESPACE, errors.EPERM): "rootless doctor",
    (
        handshake.STEP_USER_NAMESPACE,
        errors.ENOSPC,
    ): "an administrator can raise user.max_user_namespaces",
    (
        handshake.STEP_NAMESPACES,
        errors.ENOSPC,
    ): "an administrator can raise the limits in /proc/sys/user",
}


def failure(plan: LaunchPlan, step: int, number: int) -> LaunchFailed:
    """What step ``step`` of the plan failing with errno ``number`` (0: our own bug) means."""
    reason = os.strerror(number).lower() if number else "internal error"
    if step < 0:
        return LaunchFailed(
            f"cannot {_FIRST_STEPS[step]}: {reason}", hint=_HINTS.get((step, number))
        )
    if step < len(plan.operations):
        if number == errors.EXDEV and getattr(plan.operations[step], "subpath", None):
            reason = "that leads out of it"
        return LaunchFailed(f"cannot {plan.operations[step]}: {reason}")
    final = handshake.FINAL_STEPS[min(step - len(plan.operations), len(handshake.FINAL_STEPS) - 1)]
    if final == handshake.FINAL_STEPS[-1]:
        return _exec_failure(plan, number, reason)
    if final == "leave the caller's session keyring" and number == errors.EDQUOT:
        return LaunchFailed(
            f"cannot {final}: your quota of keys is used up",
            hint="an administrator can raise kernel.keys.maxkeys",
        )
    if final == "become the user of the container" and number == errors.EINVAL:
        return LaunchFailed(
            f"the container has no user {plan.process.uid}:{plan.process.gid}: its id map leaves it out",
            hint="--uidmap and --gidmap, or more ids in /etc/subuid and /etc/subgid",
        )
    if final == "enter the working directory":
        return LaunchFailed(f"cannot enter the working directory {plan.process.cwd}: {reason}")
    return LaunchFailed(f"cannot {final}: {reason}")


def _exec_failure(plan: LaunchPlan, number: int, reason: str) -> LaunchFailed:
    program = plan.process.args[0]
    if number in (errors.ENOENT, errors.ENOTDIR):
        where = "in the container" if "/" in program else "in the container's PATH"
        return LaunchFailed(
            f"cannot find the program {program!r} {where}",
            hint="a script also needs the interpreter that its first line names",
            exit_code=127,
        )
    if number == errors.ENOEXEC:
        reason = "not an executable for this machine"
    return LaunchFailed(f"cannot execute {program!r}: {reason}", exit_code=126)
