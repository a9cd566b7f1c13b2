"""CHILD SIDE of a launch: apply the plan, drop privileges, exec.  A security boundary.

Nothing is imported after this module (the standard library is gone after pivot_root), nothing is
formatted or logged, and no function returns to the caller's stack: the end is execve or _exit.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module, without the enums on top of it
import os
import struct
from _socket import SCM_RIGHTS, SOL_SOCKET, socket
from errno import EACCES, EDQUOT, ENOENT, ENOSYS, ENOTDIR, EPERM
from resource import getrlimit, setrlimit

from rootless.kernel import capability, landlock, link, namespace, process, trace
from rootless.runtime import handshake, init
from rootless.runtime.operations import Root
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.runtime.plan import LaunchPlan

_SIGKILL = 9
_SYS_ADMIN = 1 << 21
_FIRST_FREE_FD = 3
_RLIMIT_RTTIME = 15  # what it is for here: runtime.emulated_ids


def run(
    plan: LaunchPlan,
    channel: socket,
    stdio: tuple[int, int, int],
    supervise: Callable[[int, int], NoReturn] | None = None,
    *,
    fuse: int = -1,
    birthplace: int = -1,
) -> NoReturn:
    """The forked child: enter the namespaces, fork init, report its pid and go.

    ``supervise`` is what a process of its own calls with the listener of ``plan.emulation`` and the root;
    ``fuse`` leads to the process that will serve the root, where that is outside of our namespaces, and
    ``birthplace`` is an open directory of the cgroup in which init shall come to the world, if it can.
    """
    step = handshake.STEP_JOIN
    try:
        process.set_parent_death_signal(_SIGKILL)
        process.set_name("rootless:[stage]")
        # From within its namespace nobody who is outside may give birth in a cgroup: init joins that.
        fds, cgroups = _open_namespaces(plan)
        _hide(plan)
        root = Root()
        supervisor = shower = 0
        unshare = plan.unshare
        for fd, kind in fds:
            namespace.join(fd, namespace.FLAGS[kind])
            os.close(fd)
            if kind == "user" and supervise is not None and plan.id_map is None:
                # Here already: later it would be in the container's pid namespace.
                supervisor = _fork_supervisor(root, channel, supervise)
            if kind == "user" and plan.hide and unshare & namespace.CLONE_NEWNET:
                namespace.unshare(namespace.CLONE_NEWNET)
                unshare &= ~namespace.CLONE_NEWNET
                shower = _fork_shower(channel)
        step = handshake.STEP_USER_NAMESPACE
        if plan.id_map is not None:
            namespace.unshare(namespace.CLONE_NEWUSER)
            if supervise is not None:
                supervisor = _fork_supervisor(root, channel, supervise)
        root.fuse = fuse
        if plan.fuse and fuse < 0:
            step = handshake.STEP_FORK
            root.fuse = _fork_fuse(plan, channel)
        step = handshake.STEP_NAMESPACES
        namespace.unshare(unshare)
        step = handshake.STEP_FORK
        pid, born = _fork_init(birthplace)
        if pid == 0:
            _init(plan, channel, stdio, root, cgroups)
        channel.send(handshake.PID_MESSAGE.pack(handshake.PID, pid, supervisor, shower, born))
        os._exit(0)
    except OSError as error:
        _report(channel, step, error.errno or 0)
    except (
        BaseException
    ):  # our bug; without a report, end-of-file would look like a successful exec
        _report(channel, step, 0)
    finally:
        os._exit(125)


def _open_namespaces(plan: LaunchPlan) -> tuple[list[tuple[int, str]], list[int]]:
    """What the plan joins, cgroup namespaces apart."""
    fds = [(os.open(path, os.O_RDONLY | os.O_CLOEXEC), kind) for kind, path in plan.join]
    return (
        [each for each in fds if each[1] != "cgroup"],
        [fd for fd, kind in fds if kind == "cgroup"],
    )


def _fork_init(birthplace: int) -> tuple[int, bool]:
    """Init's pid, 0 in init itself, and whether it was born where it belongs."""
    if birthplace >= 0:
        try:
            return process.fork_into(birthplace), True
        except OSError:
            pass  # the launcher moves it, or knows why not
    return os.fork(), False


def _hide(plan: LaunchPlan) -> None:
    """Others can see this process as soon as it is in their pid namespace, or while it is their init."""
    if plan.hide:
        process.set_dumpable(False)
    if plan.hide or plan.process.init:
        # What the caller typed, secrets included, is nobody's there.
        process.hide_command_line(b"rootless-init" if plan.process.init else b"rootless")


def _report(channel: socket, step: int, error: int) -> None:
    channel.send(handshake.FAILED_MESSAGE.pack(handshake.FAILED, step, error))


def _init(
    plan: LaunchPlan,
    channel: socket,
    stdio: tuple[int, int, int],
    root: Root,
    cgroup_namespace: list[int],
) -> NoReturn:
    step = handshake.STEP_BECOME_ROOT
    try:
        if channel.recv(1) != handshake.MAPPED:
            os._exit(125)
        if plan.hold:
            root.held = {
                path: os.open(path, flags | os.O_CLOEXEC)
                for each in plan.operations
                for path, flags in getattr(each, "callers_files", ())
            }
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        # The forker is gone, so the parent is the launcher now.  Its death before this line shows
        # as end-of-file on the channel.
        process.set_parent_death_signal(0 if plan.outlive else _SIGKILL)
        if not plan.hide:  # a change of uid cleared it, and the network helper must open our /proc
            process.set_dumpable(True)
        step = handshake.STEP_JOIN
        for fd in cgroup_namespace:
            namespace.join(fd, namespace.CLONE_NEWCGROUP)
            os.close(fd)
        step = handshake.STEP_NAMESPACES
        if plan.unshare_late:
            namespace.unshare(plan.unshare_late)
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        step = 0
        for operation in plan.operations:
            operation.apply(root)
            step += 1
        _send_ready(channel, root.terminal)
        if channel.recv(1) != handshake.START:
            os._exit(125)
        process.set_dumpable(False)
        # With an init the program is its child, not the launcher's.
        traced = not plan.process.init and _let_launcher_look()
        channel.send(handshake.TRACED if traced else handshake.UNTRACED)
        _Drop(plan, channel, step, traced=traced, supervisor=root.supervisor).exec()
    except OSError as error:
        _report(channel, step, error.errno or 0)
    except (
        BaseException
    ):  # our bug; without a report, end-of-file would look like a successful exec
        _report(channel, step, 0)
    finally:
        os._exit(125)


def _let_launcher_look() -> bool:
    """Stop for the launcher after execve: what we become must not be the interpreter (CVE-2019-5736)."""
    try:
        trace.trace_me()
    except OSError:  # Yama or SELinux forbids it, or an outer container does
        return False
    return True


def _send_ready(channel: socket, terminal: int) -> None:
    if terminal < 0:
        channel.send(handshake.READY)
        return
    rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", terminal))]
    channel.sendmsg([handshake.READY], rights)
    os.close(terminal)


class _Drop:
    """The last steps, in an order that matters; ``step`` counts them for the report."""

    def __init__(
        self, plan: LaunchPlan, channel: socket, step: int, *, traced: bool, supervisor: int
    ):
        self.plan = plan.process
        self.emulation = plan.emulation
        self.supervisor = supervisor
        self.death_signal = 0 if plan.outlive else _SIGKILL
        self.channel = channel
        self.step = step
        self.traced = traced
        self.landlock = plan.process.landlock | (0 if traced else plan.process.landlock_untraced)

    def exec(self) -> NoReturn:
        """Give everything up and become the program."""
        try:
            for action in self.actions():
                action()
                self.step += 1
        except OSError as error:
            _report(self.channel, self.step, error.errno or 0)
        except BaseException:
            _report(self.channel, self.step, 0)
        finally:
            os._exit(125)

    def actions(self) -> tuple[Callable[[], None], ...]:
        """In the order of handshake.FINAL_STEPS."""
        return (
            self.session,
            self.limits,
            self.bounding,
            self.user,
            self.keyring,
            self.directory,
            self.no_new_privileges,
            self.restrict,
            self.emulate,
            self.close,
            self.capabilities,
            self.filter,
            self.execute,
        )

    def session(self) -> None:
        # What is ignored stays so over exec: Python ignores SIGPIPE, the monitor SIGINT, too.
        for number in range(1, _signal.NSIG):
            if _signal.getsignal(number) == _signal.SIG_IGN:
                _signal.signal(number, _signal.SIG_DFL)
        # A session of its own: the caller's terminal is not ours to push input into.
        if self.plan.init:
            return  # the program below gets a session, and the terminal, of its own
        os.setsid()
        if self.plan.terminal:
            link.take_terminal(0)

    def limits(self) -> None:
        for number, soft, hard in self.plan.rlimits:
            setrlimit(number, (soft, hard))

    def bounding(self) -> None:
        # Before the ids change: dropping needs CAP_SETPCAP.
        capability.drop_bounding(self.plan.bounding, self.plan.last_capability)

    def user(self) -> None:
        if self.plan.groups is not None:
            os.setgroups(self.plan.groups)
        os.setresgid(self.plan.gid, self.plan.gid, self.plan.gid)
        if self.plan.uid and not self.plan.no_new_privileges:
            # Without no_new_privs Landlock and seccomp want CAP_SYS_ADMIN, a little longer.
            process.keep_capabilities()
        os.setresuid(self.plan.uid, self.plan.uid, self.plan.uid)
        if self.plan.uid and not self.plan.no_new_privileges:
            capability.set_capabilities(_SYS_ADMIN, _SYS_ADMIN | self.plan.effective)
        # The change of uid cleared the signal, and made us undumpable again, which we want.
        process.set_parent_death_signal(self.death_signal)
        process.set_dumpable(False)
        os.umask(self.plan.umask)

    def keyring(self) -> None:
        # As the final user, whose quota counts.  Keys would be reached through it that nothing mounts.
        try:
            process.leave_session_keyring()
        except OSError as error:
            # Without keys in the kernel, or where an outer filter forbids them, there are none to reach;
            # with a filter of ours a used-up quota does no harm.
            if error.errno not in (ENOSYS, EPERM) and not (
                error.errno == EDQUOT and self.plan.filter
            ):
                raise

    def directory(self) -> None:
        # As the user of the container, who may not be allowed to.  getcwd(2) fails for a directory
        # outside the root: a leaked descriptor in disguise (CVE-2024-21626).
        os.chdir(self.plan.cwd)
        if not os.getcwd().startswith("/"):
            raise OSError(ENOENT, "outside the root")

    def no_new_privileges(self) -> None:
        if self.plan.no_new_privileges:
            process.set_no_new_privileges()

    def restrict(self) -> None:
        if self.landlock:
            landlock.restrict_to("/", self.landlock)

    def emulate(self) -> None:
        """Where there is one id: let somebody else, or a filter alone, answer chown(2) and setuid(2)."""
        if self.emulation is None:
            return
        if self.supervisor >= 0:
            try:
                listener = process.install_listener(self.emulation.ask)
            except OSError:  # the filters around us have a listener already: there can be only one
                pass
            else:
                if self.emulation.mark:
                    _, hard = getrlimit(_RLIMIT_RTTIME)
                    setrlimit(_RLIMIT_RTTIME, (self.emulation.mark, hard))
                root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                link.send_descriptors(self.supervisor, listener, root)
                return
        process.install_filter(self.emulation.answer)

    def close(self) -> None:
        first = _FIRST_FREE_FD + self.plan.preserve_fds
        if self.channel.fileno() != first:
            moved = os.dup2(self.channel.fileno(), first, inheritable=False)
            self.channel.detach()
            self.channel = socket(fileno=moved)
        process.close_from(first + 1)

    def capabilities(self) -> None:
        if self.plan.filter and not self.plan.no_new_privileges:
            # Without no_new_privs loading a filter needs CAP_SYS_ADMIN, which is about to go.
            process.install_filter(self.plan.filter)
        capability.set_capabilities(self.plan.effective, self.plan.effective)

    def filter(self) -> None:
        if self.plan.filter and self.plan.no_new_privileges:
            process.install_filter(self.plan.filter)

    def execute(self) -> None:
        """Try every place that PATH names; the first error that is not "no such file" counts."""
        if self.plan.init:
            # Landlock holds for the child as well; without it, because it would forbid to mount, init looks.
            look = not self.landlock and not self.traced
            init.fork_program(self.channel, terminal=self.plan.terminal, look=look)
        failure = ENOENT
        for path in self.plan.candidates:
            try:
                os.execve(path, self.plan.args, self.plan.env)
            except OSError as error:
                if error.errno not in (ENOENT, ENOTDIR, EACCES):
                    raise
                if error.errno == EACCES:
                    failure = EACCES
        raise OSError(failure, "")


def _fork_supervisor(root: Root, channel: socket, supervise: Callable[[int, int], NoReturn]) -> int:
    """Fork the process that will answer chown(2) and its like; its pid.  ``root`` gets our end of a pair.

    It belongs to the user namespace but stays in the host's mount and pid namespaces.
    """
    read_end, write_end = link.descriptor_pair()
    pid = os.fork()
    if pid:
        os.close(read_end)
        root.supervisor = write_end
        return pid
    try:
        os.close(write_end)
        channel.close()
        process.set_name("rootless:[owner]")
        fds = link.receive_descriptors(read_end)
        if len(fds) == 2:
            null = os.open("/dev/null", os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            low, high = sorted(fds)
            os.closerange(_FIRST_FREE_FD, low)
            os.closerange(low + 1, high)
            process.close_from(high + 1)
            supervise(*fds)
    finally:
        os._exit(125)


def _fork_shower(channel: socket) -> int:
    """Fork what a network helper can look at instead of init, which others could then trace; its pid.

    Those who could are in the pid namespace that init joins, and this process is not.  It ends with init,
    or when init executes the program, at the latest.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    process.set_dumpable(True)
    pid = os.fork()
    if pid:
        process.set_dumpable(False)
        os.close(read_end)
        return pid
    try:
        os.close(write_end)
        channel.close()
        process.set_name("rootless:[network]")
        os.read(read_end, 1)
    finally:
        os._exit(0)


def _fork_fuse(plan: LaunchPlan, channel: socket) -> int:
    """Fork the process that will serve the root by FUSE; returns our end of a pipe to it.

    It belongs to the user namespace but stays in the host's mount and pid namespaces: the container
    cannot see it, and it ends when the container's mounts do.
    """
    read_end, write_end = link.descriptor_pair()
    pid = os.fork()
    if pid:
        os.close(read_end)
        return write_end
    try:
        os.close(write_end)
        channel.close()
        serve_fuse(plan, read_end)
    finally:
        os._exit(125)


def serve_fuse(plan: LaunchPlan, channel: int) -> None:
    """Become the server once the mount comes through ``channel``; returns when that closes instead."""
    process.set_name("rootless:[fuse]")
    (fd,) = link.receive_descriptors(channel) or (-1,)
    if fd < 0:
        return
    process.set_parent_death_signal(0)
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):  # it warns about its own defaults on standard error
        os.dup2(null, standard)
    os.dup2(fd, _FIRST_FREE_FD)
    process.close_from(_FIRST_FREE_FD + 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setsid()
    os.execve(plan.fuse[0], plan.fuse, {})
