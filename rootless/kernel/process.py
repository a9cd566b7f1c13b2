"""prctl(2), pidfds, close_range(2), seccomp(2): what a process sets about itself."""

from __future__ import annotations

import os
import struct
from errno import EINVAL

from rootless.kernel.libc import (
    Structure,
    buffer,
    byref,
    c_char_p,
    c_int,
    c_uint,
    c_ulong,
    c_ushort,
    c_void_p,
    failure,
    function,
    interpreters_function,
    keeping_system_call,
    system_call,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_TID_ADDRESS = 40
_SECCOMP_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 8, 32

_ARG_START, _ARG_END = 48 - 3, 49 - 3  # proc_pid_stat(5) counts from 1; two come before the state

_SYS_SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_SYS_KEYCTL = {"x86_64": 250, "ppc64le": 271, "s390x": 280}.get(os.uname().machine, 219)
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CLONE_INTO_CGROUP, _CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 1 << 33, 0x1000000, 0x200000
_CLONE_ARGS = struct.Struct(
    "=11Q"
)  # flags, child_tid is the third, exit_signal the fifth, cgroup the last
_SIGCHLD = 17

_prctl = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_prctl_name = function("prctl", c_int, c_char_p, c_ulong, c_ulong, c_ulong)
_memset = function("memset", c_void_p, c_int, c_ulong)
_memcpy = function("memcpy", c_void_p, c_char_p, c_ulong)
_close_range = system_call(_SYS_CLOSE_RANGE, c_uint, c_uint, c_uint)
_prctl_out = function("prctl", c_int, c_void_p, c_ulong, c_ulong, c_ulong)
_clone3 = keeping_system_call(c_char_p, c_ulong)
_before_fork = interpreters_function("PyOS_BeforeFork")
_after_fork_in_parent = interpreters_function("PyOS_AfterFork_Parent")
_after_fork_in_child = interpreters_function("PyOS_AfterFork_Child")
_keyctl = system_call(_SYS_KEYCTL, c_int, c_char_p)


class _SockFprog(Structure):
    _fields_ = (("length", c_ushort), ("filter", c_char_p))


_seccomp = system_call(_SYS_SECCOMP, c_uint, c_uint, c_void_p)


def set_parent_death_signal(signal: int) -> None:
    """Ask for ``signal`` when the parent thread ends; a change of uid clears it (prctl(2))."""
    _prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may trace this process and open what /proc shows of it."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def keep_capabilities() -> None:
    """Let the permitted set outlive a change away from uid 0; execve(2) ends that."""
    _prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """The name that ps(1) shows for this thread, cut to 15 bytes."""
    _prctl_name(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def hide_command_line(shown: bytes) -> None:
    """Let ``shown`` be all that /proc/PID/cmdline says, which anybody may read, of this process.

    Since the fork the page is our own: the parent's stays.
    """
    fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    fields = os.read(fd, 4096).rpartition(b") ")[2].split()
    os.close(fd)
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if 0 < start < end:
        _memset(start, 0, end - start)
        _memcpy(start, shown, min(len(shown), end - start - 1))


def fork_into(cgroup: int) -> int:
    """fork(2), and the child is born in the cgroup whose directory ``cgroup`` is open (clone3(2), Linux 5.7).

    Moving a process there later makes the kernel wait for all its processors, some 10 ms.  For a process
    with one thread only: nothing is locked for others.  Raises OSError, where filters forbid clone3 ENOSYS.
    """
    address = buffer(struct.calcsize("P"))
    # fork(2) has the kernel write the child's id to where the C library keeps it; so it must be here.
    _prctl_out(_PR_GET_TID_ADDRESS, address, 0, 0, 0)
    (thread_id,) = struct.unpack("P", address.raw)
    flags = _CLONE_INTO_CGROUP | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
    request = _CLONE_ARGS.pack(flags, 0, thread_id, 0, _SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    _before_fork()
    pid = _clone3(_SYS_CLONE3, request, len(request))
    if pid == 0:
        _after_fork_in_child()
        return 0
    _after_fork_in_parent()
    if pid < 0:
        raise failure()
    return pid


def become_subreaper() -> None:
    """Orphans among our descendants become our children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_no_new_privileges() -> None:
    """From now on execve(2) grants nothing: no setuid, no file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def leave_session_keyring() -> None:
    """Exchange the caller's session keyring for a new, empty one (keyctl(2)).

    Raises OSError: EDQUOT where the user's quota of keys is used up, ENOSYS without keys in the kernel,
    EPERM where a filter around us forbids the call.
    """
    _keyctl(_KEYCTL_JOIN_SESSION_KEYRING, None)


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on (close_range(2), Linux 5.9)."""
    try:
        _close_range(first, 0xFFFFFFFF, 0)
    except OSError:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def install_listener(program: bytes) -> int:
    """Load a filter that asks; the descriptor to answer by, close-on-exec (seccomp_unotify(2)).

    Raises OSError: EBUSY where an older filter of this process has a listener.
    """
    try:  # a signal that does not kill waits for the answer (Linux 5.19)
        return install_filter(program, _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE)
    except OSError as error:
        if error.errno != EINVAL:
            raise
    return install_filter(program, _FLAG_NEW_LISTENER)


def install_filter(program: bytes, flags: int = 0) -> int:
    """Load classic BPF as a seccomp filter; returns what seccomp(2) returns."""
    request = _SockFprog(len(program) // 8, program)
    return _seccomp(_SECCOMP_SET_MODE_FILTER, flags, byref(request))
