"""CHILD SIDE: the process that answers chown(2), setuid(2) and their like for a container with one id.

It belongs to the container's user namespace and stays in the host's pid and mount namespaces, where the
container cannot see it; it ends when no process of the container is left.  What it does for a caller it
does as container root, below the caller's own root directory, and only on the container's root mount:

- *Paths* are read once and resolved here, so a caller that changes them gets what it would have got.
- *Pids* are used only through a directory of /proc that was opened before the kernel confirmed that the
  caller still waits; a pid that is used again is another directory.
- *Anything unexpected* is given back to the kernel, which refuses or does what it would without us.
"""

from __future__ import annotations

import os
import struct
import time
from errno import EAGAIN, EFAULT, EINVAL
from resource import prlimit
from stat import S_IMODE, S_ISDIR, S_ISGID, S_ISREG, S_ISUID

from rootless import owners
from rootless.kernel import capability, notify, process
from rootless.runtime.emulated_caller import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    HERE,
    Caller,
    Pass,
    descriptor,
    parent,
    target,
)
from rootless.runtime.emulated_ids import INDEX, KEEP, MARK, RLIMIT_RTTIME, ROOT, Ids
from rootless.runtime.emulated_newcomers import CREATING, Newcomers
from rootless.typed import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.kernel.notify import Call
    from rootless.runtime.spec import User

_MOST_IDS = 1 << 16
_MOST_GROUPS = 65536
_SPECIAL = 0o6000
# What it takes to look at the caller and to do what container root may do to files.
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"),
    *("CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"),
)


class Emulation(NamedTuple):
    """What answers for a container with one id.

    ``ask`` is the filter that asks us, empty where the kernel cannot; ``answer`` the one that only says
    yes; ``names`` what the calls of ``ask`` are by (AUDIT_ARCH, number).  ``first`` are the ids that the
    program starts with, ``mark`` the limit that says so (0: root's, none).
    """

    ask: bytes
    answer: bytes
    names: dict[tuple[int, int], str]
    first: Ids = ROOT
    mark: int = 0

    def starting_as(self, user: User) -> Emulation:
        """The same for a program that is to believe that it is ``user``."""
        uid, gid = user["uid"], user["gid"]
        groups = tuple(user.get("additionalGids", ()))
        first = Ids(uid, uid, uid, gid, gid, gid, groups)
        return self if first == ROOT else self._replace(first=first, mark=MARK | 1)


class Supervisor:
    """Answers the calls of one filter until nobody has it any more."""

    def __init__(self, listener: int, root: int, emulation: Emulation):
        self._listener = notify.Listener(listener)
        self._proc = os.open("/proc", HERE | os.O_DIRECTORY)
        self._root_mount, self._since = notify.mount_and_birth(root)
        if os.major(
            os.fstat(root).st_dev
        ):  # no overlay with a root that is as old as the container
            self._since = time.time_ns()
        self._first = emulation.first
        self._newcomers = Newcomers(self._claim)
        self._names = emulation.names
        self._known: list[Ids] = [ROOT, emulation.first]
        self._index: dict[Ids, int] = {emulation.first: 1, ROOT: 0}
        self._answers: dict[str, Callable[[Caller], int]] = {
            "chown": lambda call: self._chown(call, (AT_FDCWD, *call.arguments[:3], 0)),
            "lchown": lambda call: self._chown(
                call, (AT_FDCWD, *call.arguments[:3], AT_SYMLINK_NOFOLLOW)
            ),
            "fchownat": lambda call: self._chown(call, call.arguments[:5]),
            "fchown": lambda call: self._own(
                descriptor(call, call.arguments[0]), *call.arguments[1:3]
            ),
            "stat": lambda call: self._stat_at(call, (AT_FDCWD, *call.arguments[:2], 0)),
            "lstat": lambda call: self._stat_at(
                call, (AT_FDCWD, *call.arguments[:2], AT_SYMLINK_NOFOLLOW)
            ),
            "newfstatat": lambda call: self._stat_at(call, call.arguments[:4]),
            "fstat": lambda call: self._stat(
                call, descriptor(call, call.arguments[0]), call.arguments[1]
            ),
            "statx": self._statx,
            "open": lambda call: self._create(call, AT_FDCWD, call.arguments[0]),
            "openat": lambda call: self._create(call, *call.arguments[:2]),
            "creat": lambda call: self._create(call, AT_FDCWD, call.arguments[0]),
            "mkdir": lambda call: self._create(call, AT_FDCWD, call.arguments[0]),
            "mkdirat": lambda call: self._create(call, *call.arguments[:2]),
            "prctl": self._keep_capabilities,
            "setgroups": self._setgroups,
            "getgroups": self._getgroups,
        }

    def serve(self) -> None:
        """Until the end."""
        while not self._listener.ended:
            call = self._listener.receive(1 if self._newcomers.waiting else None)
            self._newcomers.settle()
            if call is None:
                continue
            try:
                self._listener.answer(call, self._answer(call))
            except Pass:
                self._listener.let_pass(call)
            except OSError as error:
                self._listener.answer(call, errno=error.errno or EINVAL)
            except Exception:  # our bug must not hang the container
                self._listener.let_pass(call)

    def _answer(self, call: Call) -> int:
        name = self._names.get((call.architecture, call.number), "")
        # Most calls are those of processes that never became anybody; the first user's new files are
        # told by their age (_owner_of), those of others when they are made.
        if name.startswith("get") and self._mark_of(call.pid) < 1:
            raise Pass
        if name in CREATING and self._mark_of(call.pid) < 2:
            raise Pass
        try:
            caller = Caller(self._listener, call, self._proc)
        except OSError:
            raise Pass from None  # it has ended
        try:
            special = self._answers.get(name)
            if special is not None:
                return special(caller)
            return self._get(caller, name) if name.startswith("get") else self._set(caller, name)
        finally:
            caller.close()

    # -- owners --------------------------------------------------------------------------------

    def _chown(self, caller: Caller, arguments: tuple[int, ...]) -> int:
        """fchownat(2), which chown and lchown are cases of."""
        start, address, uid, gid, flags = arguments
        if flags & KEEP & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
            raise Pass
        return self._own(target(caller, start, address, flags), uid, gid)

    def _own(self, fd: int, uid: int, gid: int) -> int:
        """Give what ``fd`` is an owner; closes it."""
        try:
            uid, gid = uid & KEEP, gid & KEEP
            if (uid, gid) == (KEEP, KEEP):
                raise Pass
            if notify.mount_and_birth(fd)[0] != self._root_mount:
                return 0  # a volume, a pipe, a terminal: not the image's, and never changed by us
            # What the kernel does with every change: it checks, clears set-id bits, and sets the time.
            notify.give_to_root(fd)
            mode = os.fstat(fd).st_mode
            if S_ISREG(mode) or S_ISDIR(mode):  # others have no place for a record
                self._record(fd, uid, gid, mode)
            return 0
        finally:
            os.close(fd)

    def _path_of(self, fd: int) -> str:
        """How the xattrs of an O_PATH descriptor are reached: from /proc, though our root is elsewhere."""
        os.fchdir(self._proc)
        return f"self/fd/{fd}"

    def _owner_of(self, fd: int) -> owners.Stat | None:
        """Who owns what ``fd`` is, where it is not who the kernel says.

        A program that believes from the start to be somebody believes that of its new files, too, and of
        those on volumes, which are the caller's (git looks).
        """
        recorded = owners.read(self._path_of(fd))
        if recorded is None and self._first == ROOT:
            return None
        mount, born = notify.mount_and_birth(fd)
        status = os.fstat(fd)
        mode = S_IMODE(status.st_mode)
        on_root = mount == self._root_mount
        if recorded is not None and on_root:
            return owners.true_stat(status.st_uid, status.st_gid, mode, recorded)
        if self._first == ROOT or status.st_uid or (on_root and born < self._since):
            return None
        return owners.Stat(self._first.euid, self._first.egid, mode)

    def _record(self, fd: int, uid: int, gid: int, mode: int) -> None:
        before = self._owner_of(fd)
        path = self._path_of(fd)
        old = before or owners.Stat(0, 0, 0)
        bits = S_IMODE(mode) | (old.mode & _SPECIAL if S_ISDIR(mode) else 0)
        now = old._replace(
            uid=old.uid if uid == KEEP else uid, gid=old.gid if gid == KEEP else gid, mode=bits
        )
        if now.uid or now.gid or now.device or self._first != ROOT:
            owners.keep(path, now)
        elif before is not None:
            owners.forget(path)

    def _stat(self, caller: Caller, fd: int, address: int, mask: int = -1) -> int:
        """Tell who owns what ``fd`` is, where that is recorded; closes it.  ``mask`` is statx(2)'s."""
        try:
            true = self._owner_of(fd)
            if true is None:
                raise Pass
            special = true.mode & _SPECIAL
            if mask < 0:
                content = notify.stat_as(fd, true.uid, true.gid, special)
            else:
                content = notify.statx_as(fd, mask, true.uid, true.gid, special)
            caller.write(address, content)
            return 0
        finally:
            os.close(fd)

    def _stat_at(self, caller: Caller, arguments: tuple[int, ...]) -> int:
        """newfstatat(2), which stat and lstat are cases of."""
        start, path, address, flags = arguments
        return self._stat(caller, target(caller, start, path, flags), address)

    def _statx(self, caller: Caller) -> int:
        start, path, flags, mask, address = caller.arguments[:5]
        return self._stat(caller, target(caller, start, path, flags), address, mask & KEEP)

    def _create(self, caller: Caller, start: int, address: int) -> int:
        """Something is made, by the kernel, by a process that became somebody else on its way."""
        ids = self._ids(caller)
        if ids.euid or ids.egid:
            directory, name = parent(caller, start, address)
            if notify.mount_and_birth(directory)[0] == self._root_mount:
                self._newcomers.expect(directory, name, (ids.euid, ids.egid))
            else:
                os.close(directory)
        raise Pass

    def _claim(self, directory: int, fd: int, owner: tuple[int, int]) -> None:
        """Record whose a new file is; one in a set-group-ID directory has that one's group."""
        mode = os.fstat(fd).st_mode
        if not (S_ISREG(mode) or S_ISDIR(mode)) or owners.read(self._path_of(fd)) is not None:
            return
        if notify.mount_and_birth(fd)[0] != self._root_mount:
            return
        uid, gid = owner
        above = self._owner_of(directory)
        if above is not None and above.mode & S_ISGID:
            gid = above.gid
        owners.keep(self._path_of(fd), owners.Stat(uid, gid, S_IMODE(mode)))

    # -- ids -----------------------------------------------------------------------------------

    def _mark_of(self, pid: int) -> int:
        """The index of a process's ids; -1 for one that never changed them."""
        try:
            soft, _ = prlimit(pid, RLIMIT_RTTIME)
        except OSError:
            raise Pass from None
        index = soft & INDEX
        return index if soft > 0 and soft & ~INDEX == MARK and index < len(self._known) else -1

    def _ids(self, caller: Caller) -> Ids:
        """What the caller believes, also that it runs a set-user-ID program."""
        ids = self._known[max(0, self._mark_of(caller.pid))]
        return ids.running(*self._program_of(caller)) if ids.euid else ids

    def _program_of(self, caller: Caller) -> tuple[tuple[int, int], int]:
        """Device and inode of the set-user-ID program that runs, and its owner; zeros for another."""
        try:
            fd = caller.open("exe")
        except OSError:
            raise Pass from None
        try:
            status = os.fstat(fd)
            recorded = self._owner_of(fd)
        finally:
            os.close(fd)
        mode, owner = (recorded.mode, recorded.uid) if recorded else (status.st_mode, 0)
        return ((status.st_dev, status.st_ino), owner) if mode & S_ISUID else ((0, 0), 0)

    def _become(self, caller: Caller, ids: Ids) -> int:
        index = self._index.get(ids)
        if index is None:
            if len(self._known) == _MOST_IDS:
                raise OSError(EAGAIN, os.strerror(EAGAIN))
            index = self._index[ids] = len(self._known)
            self._known.append(ids)
        try:
            _, hard = prlimit(caller.pid, RLIMIT_RTTIME)
            prlimit(caller.pid, RLIMIT_RTTIME, (MARK | index if index else hard, hard))
        except (OSError, ValueError):
            pass  # a hard limit that leaves no room: the call succeeds, and the ids stay root's
        return 0

    def _set(self, caller: Caller, name: str) -> int:
        ids = self._ids(caller).set(name, caller.arguments)
        return self._become(caller, ids._replace(program=self._program_of(caller)[0]))

    def _get(self, caller: Caller, name: str) -> int:
        ids = self._ids(caller)
        kind = name[-3:]
        real, effective, saved = ids[:3] if kind == "uid" else ids[3:6]
        if name.startswith("getres"):
            for address, value in zip(caller.arguments[:3], (real, effective, saved), strict=True):
                caller.write(address, struct.pack("=I", value))
            return 0
        return effective if name.startswith("gete") else real

    def _keep_capabilities(self, caller: Caller) -> int:
        """prctl(PR_SET_KEEPCAPS), the only one that is asked about."""
        self._become(caller, self._ids(caller)._replace(keeps=bool(caller.arguments[1])))
        raise Pass

    def _setgroups(self, caller: Caller) -> int:
        size, address = caller.arguments[:2]
        size &= KEEP
        if size > _MOST_GROUPS:
            raise OSError(EINVAL, os.strerror(EINVAL))
        content = caller.memory(address, 4 * size) if size else b""
        if len(content) != 4 * size:
            raise OSError(EFAULT, os.strerror(EFAULT))
        groups = struct.unpack(f"={size}I", content)
        return self._become(caller, self._ids(caller).with_groups(groups))

    def _getgroups(self, caller: Caller) -> int:
        size, address = caller.arguments[:2]
        size &= KEEP
        groups = self._ids(caller).groups
        if size and size < len(groups):
            raise OSError(EINVAL, os.strerror(EINVAL))
        if size and groups:
            caller.write(address, struct.pack(f"={len(groups)}I", *groups))
        return len(groups)


def serve(emulation: Emulation, listener: int, root: int) -> NoReturn:
    """Become the supervisor: leave the caller's session and streams, answer, and end."""
    try:
        process.set_name("rootless:[owner]")
        process.set_parent_death_signal(0)
        os.setsid()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        mask = capability.mask_of(_CAPABILITIES)
        capability.set_capabilities(mask, mask)
        supervisor = Supervisor(listener, root, emulation)
        os.close(root)
        supervisor.serve()
    finally:
        os._exit(0)
