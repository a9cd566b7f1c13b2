"""capabilities(7): names and numbers, and the sets of the calling thread."""

from __future__ import annotations

import struct

from rootless.kernel.libc import c_char_p, c_int, c_ulong, function

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)  # in the order of their numbers; one string, because splitting it is rarer than importing this

_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24


_capset = function("capset", c_char_p, c_char_p)
_prctl = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def mask_of(names: tuple[str, ...]) -> int:
    """The bits of capabilities named as in the OCI runtime-spec: ``CAP_CHOWN``.

    Raises KeyError for an unknown name.
    """
    numbers = {f"CAP_{name}": number for number, name in enumerate(NAMES.split())}
    mask = 0
    for name in names:
        mask |= 1 << numbers[name]
    return mask


def last_capability() -> int:
    """The highest capability number of this kernel."""
    with open("/proc/sys/kernel/cap_last_cap", "rb", buffering=0) as file:
        return int(file.read())


def drop_bounding(keep: int, last: int) -> None:
    """Take every capability up to number ``last`` that is not in the mask out of the bounding set."""
    for number in range(last + 1):
        if not keep >> number & 1:
            _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def set_capabilities(effective: int, permitted: int, inheritable: int = 0) -> None:
    """capset(2) of the calling thread."""
    sets = (effective, permitted, inheritable)
    words = [each >> shift & 0xFFFFFFFF for shift in (0, 32) for each in sets]
    _capset(struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", *words))


def effective_of_self() -> int:
    """The effective set of the calling process as a mask."""
    with open("/proc/self/status", "rb", buffering=0) as file:
        status = file.read()
    start = status.index(b"CapEff:") + 7
    return int(status[start : status.index(b"\n", start)], 16)


def holds(number: int) -> bool:
    """Whether the calling process has that capability in effect."""
    return bool(effective_of_self() >> number & 1)
