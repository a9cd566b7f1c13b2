"""C functions without ctypes' declarations: results, errors, and memory that the callee writes to."""

from __future__ import annotations

import ctypes
import errno
import struct

import pytest

from rootless.kernel import libc


@pytest.mark.parametrize(
    "name",
    ["c_char", "c_ushort", "c_int", "c_uint", "c_long", "c_ulong", "c_size_t", "c_char_p", "c_void_p"],
)  # fmt: skip
def test_a_type_is_as_large_as_that_of_ctypes(name):
    assert ctypes.sizeof(getattr(libc, name)) == ctypes.sizeof(getattr(ctypes, name))


def test_minus_one_is_an_error_that_names_the_path():
    close = libc.function("close", libc.c_int)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        close(-1, path="/some")
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, "/some")


def test_a_system_call_is_made_by_its_number():
    close_range = libc.system_call(436, libc.c_uint, libc.c_uint, libc.c_uint)
    with pytest.raises(OSError, match="Invalid argument"):
        close_range(2, 1, 0)


def test_bytes_are_given_with_the_zeros_in_them_and_memory_is_filled():
    copy = libc.function(
        "memcpy", libc.c_void_p, libc.c_char_p, libc.c_size_t, result=libc.c_void_p
    )
    content = struct.pack("=QQ", 1, 2)
    answer = libc.buffer(len(content))
    copy(answer, content, len(content))
    assert answer.raw == content


def test_arguments_of_another_type_are_refused():
    with pytest.raises(ctypes.ArgumentError):
        libc.function("close", libc.c_int)("1")
