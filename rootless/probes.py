"""Probes of the host: small experiments in throw-away children.  ``rootless.remembered`` keeps the answers.

An answer is an empty text for "works" or the reason why not.
"""

from __future__ import annotations

import errno
import os

from rootless import files
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.userns.idmap import IdMap


def id_map_works(id_map: IdMap) -> str:
    """Whether a user namespace with this map can be made."""
    from rootless.userns import enter

    try:
        enter.call(_nothing, id_map)
    except (RootlessError, OSError, RuntimeError) as error:
        return str(error)
    return ""


def _nothing() -> None:
    pass


def store_holds_owners(id_map: IdMap, store: str, directory: str) -> str:
    """Whether a file in ``directory`` of ``store`` may belong to another id of the map: on NFS and its like not.

    What else can go wrong there (it is full, or read-only) has words of its own later.
    """
    from rootless.userns import enter

    other = id_map.uids[-1].inside + id_map.uids[-1].size - 1
    group = id_map.gids[-1].inside + id_map.gids[-1].size - 1

    def give_away() -> None:
        try:
            os.chown(path, other, group)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES):
                raise

    try:
        with files.scratch(directory, "probe") as scratch:
            path = f"{scratch}/file"
            files.write_atomic(path, b"", durable=False)
            try:
                enter.call(give_away, id_map)
            except OSError as error:
                return f"{store} takes no files of subordinate ids: {error.strerror}"
    except (RootlessError, OSError, RuntimeError):
        pass
    return ""


def overlay_works(id_map: IdMap, directory: str) -> str:
    """Whether overlayfs mounts in a user namespace on the file system of ``directory``, and whiteouts work."""
    from rootless.userns import enter

    try:
        with files.scratch(directory, "probe") as scratch:
            enter.call(lambda: _try_overlay(scratch), id_map, mount_namespace=True)
    except (RootlessError, OSError, RuntimeError) as error:
        return str(error)
    return ""


def _try_overlay(scratch: str) -> None:
    from rootless.kernel import mount

    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{scratch}/{name}")
    with open(f"{scratch}/lower/file", "w"):
        pass
    layers = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
    mount.mount("overlay", f"{scratch}/merged", "overlay", 0, f"{layers},userxattr")
    os.unlink(f"{scratch}/merged/file")
    mount.unmount(f"{scratch}/merged")


def kernel_files_work(id_map: IdMap, directory: str) -> str:
    """Whether a new procfs and a new sysfs may be mounted: not where something hides parts of ours.

    Two lines, one for each, empty for "works"; no text at all where both do.
    """
    from rootless.userns import enter

    failures = []
    for attempt in (_try_proc, _try_sys):
        try:
            with files.scratch(directory, "probe") as scratch:
                enter.call(
                    lambda attempt=attempt, scratch=scratch: attempt(scratch),  # type: ignore[misc]
                    id_map,
                    mount_namespace=True,
                )
            failures.append("")
        except OSError as error:
            failures.append(error.strerror or str(error))
        except (RootlessError, RuntimeError) as error:
            failures.append(" ".join(str(error).split()))
    return "\n".join(failures) if any(failures) else ""


def _try_proc(scratch: str) -> None:
    from rootless.kernel import mount, namespace
    from rootless.userns import enter

    namespace.unshare(namespace.CLONE_NEWPID)

    def mount_it() -> None:
        mount.mount("proc", scratch, "proc")

    enter.in_child(mount_it)


def _try_sys(scratch: str) -> None:
    from rootless.kernel import mount, namespace

    namespace.unshare(namespace.CLONE_NEWNET)  # sysfs belongs to one
    mount.mount("sysfs", scratch, "sysfs", mount.MS_RDONLY)


def namespace_works(id_map: IdMap, kind: str) -> str:
    """Whether a namespace of that kind can be made inside a user namespace."""
    from rootless.kernel import namespace

    return _why_not(lambda: namespace.unshare(namespace.FLAGS[kind]), id_map)


def hostname_works(id_map: IdMap) -> str:
    """Whether a container can be given a host name: filters of outer containers often forbid it."""
    from rootless.kernel import link, namespace

    def name_it() -> None:
        namespace.unshare(namespace.CLONE_NEWUTS)
        link.set_hostname("probe")

    return _why_not(name_it, id_map)


def _why_not(action: Callable[[], None], id_map: IdMap) -> str:
    from rootless.userns import enter

    try:
        enter.call(lambda: enter.in_child(action), id_map)
    except OSError as error:
        return error.strerror or str(error)
    except (RootlessError, RuntimeError) as error:
        return str(error)
    return ""


# What each kind is tried with; the kinds that are not here have probes of their own.
_TRIED_MOUNTS = ("tmpfs", "devpts", "mqueue", "sysfs", "cgroup2", "ramfs")


def mounts_work(id_map: IdMap, directory: str) -> dict[str, str]:
    """Each kind of mount that containers use, and why it fails; empty texts where it does not.

    Needs network, IPC and cgroup namespaces of its own: sysfs, mqueue and cgroup2 belong to them.
    """
    from rootless.userns import enter

    with files.scratch(directory, "probe") as scratch:
        return enter.call(lambda: _try_mounts(scratch), id_map, mount_namespace=True)


def _try_mounts(scratch: str) -> dict[str, str]:
    from rootless.kernel import mount, namespace

    for kind in ("network", "ipc", "cgroup"):
        _reason(lambda kind=kind: namespace.unshare(namespace.FLAGS[kind]))  # type: ignore[misc]
    os.mkdir(f"{scratch}/target")
    target = f"{scratch}/target"
    tried = {
        kind: _reason(lambda kind=kind: mount.mount(kind, target, kind))  # type: ignore[misc]
        for kind in _TRIED_MOUNTS
    }
    tried["bind"] = _reason(lambda: mount.bind(scratch, target))
    tried["attributes"] = _reason(lambda: _try_attributes(target))
    tried["fuse"] = _reason(lambda: _try_fuse(target))
    tried["tun"] = _reason(_try_tun)
    return tried


def _reason(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _try_attributes(target: str) -> None:
    from rootless.kernel import mount

    fd = os.open(target, os.O_PATH | os.O_CLOEXEC)
    mount.set_attributes(fd, mount.MOUNT_ATTR_RDONLY)
    os.close(fd)


def _try_fuse(target: str) -> None:
    from rootless.kernel import mount

    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    mount.mount("fuse", target, "fuse", mount.MS_NODEV | mount.MS_NOSUID, options)
    os.close(fd)


_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x1002


def _try_tun() -> None:
    from fcntl import ioctl
    from struct import pack

    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    ioctl(fd, _TUNSETIFF, pack("16sH22x", b"probe0", _IFF_TAP_NO_PI))
    os.close(fd)


_ALLOW_ALL = b"\x06\x00\x00\x00\x00\x00\xff\x7f"  # one instruction: return SECCOMP_RET_ALLOW


def seccomp_works(*, notification: bool = False) -> str:
    """Whether a filter can be loaded, and with ``notification`` one that asks a process of ours."""
    from rootless.kernel import process
    from rootless.userns import enter

    def load() -> None:
        process.set_no_new_privileges()
        if notification:
            process.install_listener(_ALLOW_ALL)
        else:
            process.install_filter(_ALLOW_ALL)

    major, minor = os.uname().release.split(".")[:2]
    if notification and (int(major), int("".join(filter(str.isdigit, minor)) or "0")) < (5, 9):
        return f"Linux {major}.{minor} is older than 5.9"  # which tells the process of the end
    return _reason(lambda: enter.in_child(load))
