"""ptrace(2), as little as it takes to look at a program before its first instruction."""

from __future__ import annotations

from ctypes import c_int, c_long, c_void_p

from rootless.kernel.libc import function

_TRACEME, _CONTINUE, _DETACH = 0, 7, 17

_ptrace = function("ptrace", c_long, c_int, c_void_p, c_void_p, result=c_long)


def trace_me() -> None:
    """Let the parent see this process stop: by SIGTRAP after execve(2), and at every signal."""
    _ptrace(_TRACEME, 0, None, None)


def resume(pid: int, signal: int = 0) -> None:
    """Let a stopped process go on, with the signal that it stopped for or none."""
    _ptrace(_CONTINUE, pid, None, signal)


def detach(pid: int) -> None:
    """Let a stopped process go on, untraced."""
    _ptrace(_DETACH, pid, None, None)
