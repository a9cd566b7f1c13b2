"""seccomp_unotify(2): answer system calls of other processes; and the two calls that it takes here."""

from __future__ import annotations

import os
import struct
from fcntl import ioctl
from select import POLLIN, poll

from rootless.kernel.libc import buffer, c_char_p, c_int, c_uint, c_void_p, function, system_call
from rootless.typed import NamedTuple

_FORM = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif with its struct seccomp_data
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
_EMPTY = bytes(_FORM.size)

_MACHINE = os.uname().machine
_WRITE, _READ = (0x80000000, 0x40000000) if _MACHINE.startswith("ppc") else (1 << 30, 1 << 31)
_RECEIVE = _WRITE | _READ | _FORM.size << 16 | 0x2100
_SEND = _WRITE | _READ | _ANSWER.size << 16 | 0x2101
_ID_VALID = _WRITE | 8 << 16 | 0x2102
_SET_FLAGS = _WRITE | 8 << 16 | 0x2104
_SYNC_WAKE_UP = 1  # Linux 6.6: the answered process goes on at once, on the same CPU

_AT_EMPTY_PATH = 0x1000
_STATX_MNT_ID = 0x1000  # Linux 5.8
_STATX_BTIME = 0x800
_BTIME_OFFSET, _MNT_ID_OFFSET = 0x50, 0x90  # stx_btime and stx_mnt_id in struct statx
_SYS_STATX = {"x86_64": 332, "ppc64le": 383, "s390x": 379}.get(_MACHINE, 291)

_SYS_NEWFSTATAT = {"x86_64": 262, "ppc64le": 291, "s390x": 293}.get(_MACHINE, 79)
# struct stat: its size, and where st_mode and st_uid (with st_gid behind it) stand.
_STAT_BYTES, _STAT_MODE, _STAT_UID = {
    "x86_64": (144, 24, 28),
    "ppc64le": (144, 24, 28),
    "s390x": (144, 24, 28),
}.get(_MACHINE, (128, 16, 24))
_STATX_BYTES, _STATX_MODE, _STATX_UID = 256, 28, 20

_newfstatat = system_call(_SYS_NEWFSTATAT, c_int, c_char_p, c_void_p, c_int)
_statx = system_call(_SYS_STATX, c_int, c_char_p, c_int, c_uint, c_void_p)
_fchownat = function("fchownat", c_int, c_char_p, c_uint, c_uint, c_int)


class Call(NamedTuple):
    """A system call that waits for an answer; ``pid`` is the thread's in our own pid namespace."""

    id: int
    pid: int
    number: int
    architecture: int
    arguments: tuple[int, ...]


class Listener:
    """The calls that one filter, and every process that has it, asks about."""

    def __init__(self, fd: int):
        self._fd = fd
        self.ended = False
        self._buffer = bytearray(_FORM.size)
        self._poll = poll()
        self._poll.register(fd, POLLIN)
        try:
            ioctl(fd, _SET_FLAGS, _SYNC_WAKE_UP)
        except OSError:
            pass  # slower, no more

    def receive(self, wait_ms: int | None = None) -> Call | None:
        """Wait for a call; None after ``wait_ms``, or at the end, which ``ended`` then says."""
        while True:
            ready = self._poll.poll(wait_ms)
            if not ready:
                return None
            for _, events in ready:
                if not events & POLLIN:  # no process has the filter any more (Linux 5.9)
                    self.ended = True
                    return None
                self._buffer[:] = _EMPTY  # the kernel wants zeros
                try:
                    ioctl(self._fd, _RECEIVE, self._buffer)
                except OSError:
                    continue  # ENOENT: the caller was killed meanwhile
                number, pid, _, call, architecture, _, *arguments = _FORM.unpack(self._buffer)
                return Call(number, pid, call, architecture, tuple(arguments))

    def is_waiting(self, call: Call) -> bool:
        """Whether the caller still waits, so that its pid is still its own."""
        try:
            ioctl(self._fd, _ID_VALID, struct.pack("=Q", call.id))
        except OSError:
            return False
        return True

    def answer(self, call: Call, value: int = 0, errno: int = 0) -> None:
        """Let the call return ``value``, or fail."""
        self._send(_ANSWER.pack(call.id, value, -errno, 0))

    def let_pass(self, call: Call) -> None:
        """Let the kernel do the call as if nobody had asked."""
        self._send(_ANSWER.pack(call.id, 0, 0, _CONTINUE))

    def _send(self, answer: bytes) -> None:
        try:
            ioctl(self._fd, _SEND, answer)
        except OSError:
            pass  # ENOENT: it was killed, or a signal ended the call


def stat_as(fd: int, uid: int, gid: int, special: int) -> bytes:
    """The struct stat of what ``fd`` is, as if it had that owner, and these set-id bits as well."""
    answer = buffer(_STAT_BYTES)
    _newfstatat(fd, b"", answer, _AT_EMPTY_PATH)
    (mode,) = struct.unpack_from("=I", answer, _STAT_MODE)
    struct.pack_into("=I", answer, _STAT_MODE, mode | special)
    struct.pack_into("=II", answer, _STAT_UID, uid, gid)
    return answer.raw


def statx_as(fd: int, mask: int, uid: int, gid: int, special: int) -> bytes:
    """The same as a struct statx with the fields of ``mask``."""
    answer = buffer(_STATX_BYTES)
    _statx(fd, b"", _AT_EMPTY_PATH, mask, answer)
    (mode,) = struct.unpack_from("=H", answer, _STATX_MODE)
    struct.pack_into("=H", answer, _STATX_MODE, mode | special)
    struct.pack_into("=II", answer, _STATX_UID, uid, gid)
    return answer.raw


def mount_and_birth(fd: int) -> tuple[int, int]:
    """Which mount a descriptor is on, and when the file was made (statx(2)); O_PATH will do.

    The time is in nanoseconds since 1970, 0 where the file system does not know it.
    """
    answer = buffer(_STATX_BYTES)
    _statx(fd, b"", _AT_EMPTY_PATH, _STATX_MNT_ID | _STATX_BTIME, answer)
    (mask,) = struct.unpack_from("=I", answer, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _BTIME_OFFSET)
    born = seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else 0
    return struct.unpack_from("=Q", answer, _MNT_ID_OFFSET)[0], born


def give_to_root(fd: int) -> None:
    """Change the owner of what ``fd`` is to 0:0; an O_PATH descriptor will do (chown(2))."""
    _fchownat(fd, b"", 0, 0, _AT_EMPTY_PATH)
