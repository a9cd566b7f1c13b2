"""Run code of ours inside a process's user and network namespaces, or in new ones.  HOST SIDE forks.

The container cannot see such a process: it stays in the host's pid namespace.
"""

from __future__ import annotations

import os
import signal

from rootless.errors import HostLacks
from rootless.kernel import link, namespace, process
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_LAST_SIGNAL = 31
_WORDS_BYTES = 65536


def enter(pid: int) -> None:
    """Join the user and network namespaces of a process; this cannot be undone."""
    for name, kind in (("user", namespace.CLONE_NEWUSER), ("net", namespace.CLONE_NEWNET)):
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/ns/{name}")):
                namespace.join(fd, kind)  # joining one's own user namespace would be an error
        finally:
            os.close(fd)


def fork(run: Callable[[], object], *, name: str, kept: tuple[int, ...]) -> int:
    """Fork a process of a session of its own that runs ``run`` and dies with us; returns its pid.

    It has no descriptor of ours but ``kept``, no signal handler and no terminal.
    """
    pid = os.fork()
    if pid == 0:
        _child(run, name, kept)
    return pid


def fork_daemon(run: Callable[[], object], *, name: str, kept: tuple[int, ...]) -> None:
    """The same for a process that outlives us and is nobody's child."""
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            _child(run, name, kept, outlives=True)
        os._exit(0)
    _wait(pid)


def _child(
    run: Callable[[], object], name: str, kept: tuple[int, ...], *, outlives: bool = False
) -> NoReturn:
    try:
        if not outlives:
            process.set_parent_death_signal(signal.SIGKILL)
        process.set_name(f"rootless:[{name}]")
        _forget_signals()
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        close_all_but(set(kept))
        run()
        os._exit(0)
    finally:
        os._exit(1)


def _forget_signals() -> None:
    for number in range(1, _LAST_SIGNAL):
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def close_all_but(kept: set[int]) -> None:
    """Give back what the caller had open: locks above all."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the directory


def call(pid: int, run: Callable[[], str], *, name: str = "inside") -> str:
    """What ``run`` returns when it runs inside; its OSError raises HostLacks with the same words."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)

    def inside() -> None:
        try:
            enter(pid)
            process.set_parent_death_signal(signal.SIGKILL)  # the new credentials cleared it
            os.write(write_end, b"+" + run().encode())
        except Exception as error:  # whatever it was, the caller must hear of it
            os.write(write_end, b"-" + str(error).encode()[: _WORDS_BYTES - 1])

    child = fork(inside, name=name, kept=(write_end,))
    os.close(write_end)
    with open(read_end, "rb") as stream:
        answer = stream.read()
    _wait(child)
    if answer[:1] != b"+":
        raise HostLacks(answer[1:].decode(errors="replace") or "a child died")
    return answer[1:].decode()


def _wait(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # somebody waited for all children at once


class NewNamespace:
    """A process with a new user and network namespace, the loopback up; for probes.  Use ``with``.

    Raises HostLacks when the kernel does not allow it.
    """

    def __enter__(self) -> int:
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        go_read, self._go = os.pipe2(os.O_CLOEXEC)
        ids = os.geteuid(), os.getegid()

        def inside() -> None:
            try:
                namespace.unshare(namespace.CLONE_NEWUSER | namespace.CLONE_NEWNET)
                for name, text in (
                    ("setgroups", "deny"),
                    ("uid_map", f"0 {ids[0]} 1"),
                    ("gid_map", f"0 {ids[1]} 1"),
                ):
                    namespace.write_id_file("self", name, text.encode())
                process.set_dumpable(True)  # the helper must open our /proc
                link.set_up("lo")
                os.write(ready_write, b"+")
            except OSError as error:
                os.write(ready_write, str(error.strerror).encode())
            os.close(ready_write)
            os.read(go_read, 1)

        self.pid = fork(inside, name="probe", kept=(ready_write, go_read))
        os.close(ready_write)
        os.close(go_read)
        answer = os.read(ready_read, 256)
        os.close(ready_read)
        if answer != b"+":
            self.__exit__()
            raise HostLacks(f"cannot make a network namespace: {answer.decode() or 'a child died'}")
        return self.pid

    def __exit__(self, *_: object) -> None:
        os.close(self._go)
        _wait(self.pid)
