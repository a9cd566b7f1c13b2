"""Runs inside containers: raw system calls, and the answer as one line of JSON on standard output."""

from __future__ import annotations

import ctypes
import errno
import json
import os

_libc = ctypes.CDLL(None, use_errno=True)
with open(f"{os.path.dirname(os.path.abspath(__file__))}/syscalls.json", encoding="ascii") as _file:
    NUMBERS = json.load(_file)[os.uname().machine]


def syscall(name: str, *arguments: object) -> str:
    """The name of the error, or ``ok``; ``syscall.result`` holds the value."""
    converted = [
        ctypes.c_long(each)
        if isinstance(each, int)
        else ctypes.c_char_p(each)
        if isinstance(each, bytes)
        else each
        for each in arguments
    ]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(NUMBERS[name]), *converted)
    syscall.result = result  # type: ignore[attr-defined] # the attack reads it
    if result != -1:
        return "ok"
    return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))


def attempt(function, *arguments: object, **keywords: object) -> str:  # type: ignore[no-untyped-def]
    """``ok``, or the name of the error that calling ``function`` gave."""
    try:
        function(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "ok"


def in_child(function, *arguments: object) -> str:  # type: ignore[no-untyped-def]
    """``attempt`` in a process of its own, for what cannot be undone."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, attempt(function, *arguments).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return answer


def status() -> dict[str, str]:
    """/proc/self/status."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def read(path: str) -> str:
    """A file's text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def report(**answers: object) -> None:
    """Say how the attack went."""
    os.write(1, f"{json.dumps(answers)}\n".encode())
