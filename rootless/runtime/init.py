"""CHILD SIDE: process 1 of a container with ``--init``: it reaps orphans and passes signals on.

It is the stage, which keeps the host's interpreter: so it is not dumpable, holds no descriptors, and
executes nothing.
"""

from __future__ import annotations

import errno
import os

from rootless.kernel import link, process, trace
from rootless.lean import signal
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from _socket import socket

_SIGTRAP = 5
_SIGKILL = 9


def fork_program(channel: socket, *, terminal: bool, look: bool) -> None:
    """Return in a child, which becomes the program; stay as init.

    With ``look`` the program is compared with our own interpreter before its first instruction, as the
    launcher does it for a container without init (CVE-2019-5736).  Raises OSError ELOOP when it is that.
    """
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, everything)
        os.setsid()
        if terminal:
            link.take_terminal(0)
        if look:
            trace.trace_me()
        return
    if look:
        _look(pid)
    process.set_name("rootless:[init]")
    channel.close()
    for fd in (0, 1, 2):
        os.close(fd)
    while True:
        number = signal.sigwait(everything)
        if number == signal.SIGCHLD:
            _reap_until(pid)
        else:
            os.kill(pid, number)


def _look(pid: int) -> None:
    """Wait for the stop after execve; anything else that stops the child is passed on."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            os._exit(125)  # it has said why
        if os.WSTOPSIG(status) == _SIGTRAP:
            break
        trace.resume(pid, os.WSTOPSIG(status))
    if trace.file_and_mount(f"/proc/{pid}/exe") == trace.file_and_mount("/proc/self/exe"):
        os.kill(pid, _SIGKILL)
        raise OSError(errno.ELOOP, "the program leads to our own interpreter")
    trace.detach(pid)


def _reap_until(program: int) -> None:
    """Collect what has ended; end like the program when it is among it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
