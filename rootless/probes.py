"""Probes of the host: small experiments in throw-away children, whose answers are kept.

An answer is an empty text for "works" or the reason why not.  It is kept under everything it depends on
(boot, user, id maps, the programs and files involved), so a change of the host is a new question.
"""

from __future__ import annotations

import os
from zlib import crc32

from rootless import files
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.userns.idmap import IdMap


def remembered(cache: str, name: str, facts: object, probe: Callable[[], str]) -> str:
    """The kept answer to ``name`` for these facts, or that of ``probe``, which is then kept."""
    boot = _read("/proc/sys/kernel/random/boot_id")
    key = crc32(repr((boot, os.geteuid(), _read("/proc/self/uid_map"), facts)).encode())
    path = f"{cache}/probes/{name}-{key:08x}"
    try:
        return files.read_bytes(path).decode()
    except FileNotFoundError:
        answer = probe()
    try:
        os.makedirs(f"{cache}/probes", mode=0o700, exist_ok=True)
        files.write_atomic(path, answer.encode(), durable=False)
    except OSError:
        pass  # asked again the next time
    return answer


def _read(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError:
        return b""


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


def new_proc_works(id_map: IdMap, directory: str) -> str:
    """Whether a new procfs may be mounted: not where something hides parts of the one we see."""
    from rootless.userns import enter

    try:
        with files.scratch(directory, "probe") as scratch:
            enter.call(lambda: _try_proc(scratch, id_map), id_map, mount_namespace=True)
    except (RootlessError, OSError, RuntimeError) as error:
        return str(error)
    return ""


def _try_proc(scratch: str, id_map: IdMap) -> None:
    from rootless.kernel import mount, namespace
    from rootless.userns import enter

    namespace.unshare(namespace.CLONE_NEWPID)

    def mount_it() -> None:
        mount.mount("proc", scratch, "proc")

    enter.in_child(mount_it)
