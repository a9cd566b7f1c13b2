"""The C library: loaded once, each prototype declared once, errno turned into OSError once."""

from __future__ import annotations

import os
from ctypes import CDLL, c_int, c_long, get_errno

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_libc = CDLL(None, use_errno=True)


def function(name: str, *argument_types: Any, result: Any = c_int) -> Callable[..., int]:
    """A checked C function: raises OSError with errno, and ``path`` as its file name, on -1."""
    symbol = _libc[name]  # indexing gives a fresh object, so prototypes do not collide
    symbol.argtypes = argument_types
    symbol.restype = result

    def call(*arguments: Any, path: str | None = None) -> int:
        value: int = symbol(*arguments)
        if value == -1:
            error = get_errno()
            raise OSError(error, os.strerror(error), path)
        return value

    return call


def system_call(number: int, *argument_types: Any) -> Callable[..., int]:
    """A checked system call for which the C library may have no wrapper (syscall(2))."""
    symbol = _libc["syscall"]
    symbol.argtypes = (c_long, *argument_types)
    symbol.restype = c_long

    def call(*arguments: Any, path: str | None = None) -> int:
        value: int = symbol(number, *arguments)
        if value == -1:
            error = get_errno()
            raise OSError(error, os.strerror(error), path)
        return value

    return call
