"""The ids that a process believes to have where only one exists: credentials(7) as a value.  Pure."""

from __future__ import annotations

from errno import EINVAL, EPERM

from rootless.typed import NamedTuple

# A process's ids are an index into a table, and the index is in its soft limit of RLIMIT_RTTIME: the
# kernel passes it on at fork(2) and execve(2), as it does with real ids.  It means something to
# real-time scheduling only.
RLIMIT_RTTIME = 15
MARK = 0x5EC0_1D5E << 24
INDEX = (1 << 24) - 1

KEEP = 0xFFFFFFFF  # -1: leave this id as it is


class Ids(NamedTuple):
    """Real, effective and saved ids; ``groups`` are the supplementary ones.

    ``keeps`` says that the process has asked to keep its capabilities when it gives its uids away
    (PR_SET_KEEPCAPS): setpriv(1) does so, and changes its groups last.  ``program`` is the set-user-ID
    program whose bit is accounted for.
    """

    ruid: int = 0
    euid: int = 0
    suid: int = 0
    rgid: int = 0
    egid: int = 0
    sgid: int = 0
    groups: tuple[int, ...] = ()
    keeps: bool = False
    program: tuple[int, int] = (0, 0)

    def running(self, program: tuple[int, int], owner: int) -> Ids:
        """What execve(2) of a set-user-ID program (its device and inode) makes of them, once."""
        if program in (self.program, (0, 0)):
            return self
        return self._replace(euid=owner, suid=owner, program=program)

    def set(self, call: str, arguments: tuple[int, ...]) -> Ids:
        """What a process has after one of the set*id calls.  Raises OSError EPERM as the kernel would."""
        kind = call.rstrip("0123456789")[-3:]
        name = call.rstrip("0123456789").removesuffix(kind)
        own = (self.ruid, self.euid, self.suid) if kind == "uid" else self[3:6]
        given = tuple(each & KEEP for each in arguments)
        may = self.euid == 0 or (kind == "gid" and self.keeps)
        real, effective, saved = _CHANGES[name](own, given, may)
        if kind == "uid":
            return self._replace(ruid=real, euid=effective, suid=saved)
        return self._replace(rgid=real, egid=effective, sgid=saved)

    def with_groups(self, groups: tuple[int, ...]) -> Ids:
        """setgroups(2).  Raises OSError EPERM without privilege."""
        if self.euid and not self.keeps:
            raise OSError(EPERM, "setgroups")
        return self._replace(groups=groups)


Three = tuple[int, ...]
ROOT = Ids()


def _set(own: Three, given: Three, privileged: bool) -> Three:
    """setuid(2), setgid(2)."""
    if given[0] == KEEP:
        raise OSError(EINVAL, "setuid")
    if privileged:
        return (given[0],) * 3
    _check(given[:1], (own[0], own[2]))
    return own[0], given[0], own[2]


def _set_two(own: Three, given: Three, privileged: bool) -> Three:
    """setreuid(2), setregid(2)."""
    if not privileged:
        _check(given[:1], own[:2])
        _check(given[1:2], own)
    real = own[0] if given[0] == KEEP else given[0]
    effective = own[1] if given[1] == KEEP else given[1]
    follows = given[0] != KEEP or (given[1] not in (KEEP, own[0]))
    return real, effective, effective if follows else own[2]


def _set_three(own: Three, given: Three, privileged: bool) -> Three:
    """setresuid(2), setresgid(2)."""
    if not privileged:
        _check(given[:3], own)
    return tuple(old if new == KEEP else new for old, new in zip(own, given[:3], strict=True))


def _check(wanted: Three, allowed: Three) -> None:
    if any(each != KEEP and each not in allowed for each in wanted):
        raise OSError(EPERM, "not one of the process's own ids")


_CHANGES = {"set": _set, "setre": _set_two, "setres": _set_three}
