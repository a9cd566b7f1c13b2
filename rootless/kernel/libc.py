"""The C library: loaded once, each prototype declared once, errno turned into OSError once.

Its types are declared here, for importing ctypes costs a start 3 ms: it declares every type that there is and
tries most of them out.  What they are made of is ctypes' own, in C.
"""

from __future__ import annotations

import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    Structure,
    _SimpleCData,
    byref,
    dlopen,
    get_errno,
)

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import (
        Array,
        c_char,
        c_char_p,
        c_int,
        c_long,
        c_size_t,
        c_uint,
        c_ulong,
        c_ushort,
        c_void_p,
    )
else:

    class c_char(_SimpleCData):
        _type_ = "c"

    class c_ushort(_SimpleCData):
        _type_ = "H"

    class c_int(_SimpleCData):
        _type_ = "i"

    class c_uint(_SimpleCData):
        _type_ = "I"

    class c_long(_SimpleCData):
        _type_ = "l"

    class c_ulong(_SimpleCData):
        _type_ = "L"

    class c_char_p(
        _SimpleCData
    ):  # bytes, also with zeros in them: the callee reads what it is given
        _type_ = "z"

    class c_void_p(_SimpleCData):
        _type_ = "P"

    c_size_t = c_ulong

__all__ = (
    "Structure",
    "buffer",
    "byref",
    "c_char_p",
    "c_int",
    "c_long",
    "c_size_t",
    "c_uint",
    "c_ulong",
    "c_ushort",
    "c_void_p",
    "function",
    "interpreters_function",
    "keeping_system_call",
    "system_call",
)


class _Library:
    """Where a function is looked up: in this process with all that it has loaded, the C library among it."""

    _handle = dlopen(None, 0)  # type: ignore[arg-type]  # dlopen(3) takes NULL for it, and so does ctypes.CDLL


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _Keeping(CFuncPtr):
    """Keeps the interpreter's lock meanwhile: for a call that comes back in two processes."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = c_long


def _symbol(name: str) -> _Function:
    """A fresh object each time, so prototypes do not collide."""
    return _Function((name, _Library))  # type: ignore[arg-type]  # what has a _handle will do


def function(name: str, *argument_types: Any, result: Any = c_int) -> Callable[..., int]:
    """A checked C function: raises OSError with errno, and ``path`` as its file name, on -1."""
    symbol = _symbol(name)
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
    symbol = _symbol("syscall")
    symbol.argtypes = (c_long, *argument_types)
    symbol.restype = c_long

    def call(*arguments: Any, path: str | None = None) -> int:
        value: int = symbol(number, *arguments)
        if value == -1:
            error = get_errno()
            raise OSError(error, os.strerror(error), path)
        return value

    return call


def keeping_system_call(*argument_types: Any) -> Callable[..., int]:
    """syscall(2) itself, unchecked: nothing of the interpreter runs around it (``failure`` reads errno)."""
    symbol = _Keeping(("syscall", _Library))  # type: ignore[arg-type]  # as above
    symbol.argtypes = (c_long, *argument_types)
    return symbol


def failure() -> OSError:
    """What the last call of this thread that returned -1 failed with."""
    error = get_errno()
    return OSError(error, os.strerror(error))


def interpreters_function(name: str) -> Callable[[], None]:
    """A function of the interpreter's own C interface that takes and returns nothing."""
    symbol = _Keeping((name, _Library))  # type: ignore[arg-type]  # as above
    symbol.argtypes = ()
    symbol.restype = None
    return symbol


def buffer(size: int) -> Array[c_char]:
    """Memory that a system call writes to; ``raw`` is its content."""
    return (c_char * size)()
