"""HOST SIDE: give a new user namespace its id maps, by newuidmap and newgidmap or without them."""

from __future__ import annotations

import fcntl
import os

from rootless.errors import HostLacks
from rootless.kernel import namespace
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.userns.idmap import IdMap, IdRange

_NS_GET_PARENT = 0xB702  # ioctl_ns(2)


def write_maps(pid: int, id_map: IdMap) -> None:
    """Give the user namespace of process ``pid`` its maps (user_namespaces(7), newuidmap(1)).

    ``pid`` must have unshared its user namespace and still belong to the caller.
    Raises HostLacks with newuidmap's own words when it refuses.
    """
    if id_map.writer == "helpers":
        _run_helpers(pid, id_map)
        return
    if id_map.writer == "parent":
        _write_from_parent(pid, id_map)
        return
    if id_map.writer == "single":
        # setgroups must be denied before an unprivileged gid_map write (Linux 3.19).
        namespace.write_id_file(pid, "setgroups", b"deny")
    try:
        namespace.write_id_file(pid, "uid_map", namespace.map_text(id_map.uids))
        namespace.write_id_file(pid, "gid_map", namespace.map_text(id_map.gids))
    except PermissionError as error:
        raise HostLacks(
            f"the kernel refused the id map of a user namespace: {error.strerror}",
            hint="rootless doctor",
        ) from None


def _write_from_parent(pid: int, id_map: IdMap) -> None:
    """Enter the namespace in which the new one was made: only from there may its maps be written."""
    child = os.fork()
    if child:
        number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if number:
            raise HostLacks(
                f"cannot write the id map of a nested user namespace: {os.strerror(number)}"
            )
        return
    number = 1
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        namespace.join(fcntl.ioctl(fd, _NS_GET_PARENT), namespace.CLONE_NEWUSER)
        namespace.write_id_file(pid, "uid_map", namespace.map_text(id_map.uids))
        namespace.write_id_file(pid, "gid_map", namespace.map_text(id_map.gids))
        number = 0
    except OSError as error:
        number = error.errno or 1
    finally:
        os._exit(number)


def _run_helpers(pid: int, id_map: IdMap) -> None:
    """newuidmap and newgidmap beside each other; each checks /etc/subuid or /etc/subgid itself."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    started = []
    try:
        for helper, ranges in (("newuidmap", id_map.uids), ("newgidmap", id_map.gids)):
            argv = [helper, str(pid), *_numbers(ranges)]
            started.append((helper, _spawn_quietly(argv, write_end)))
        os.close(write_end)
        write_end = -1
        failed = [name for name, child in started if os.waitpid(child, 0)[1] != 0]
        if failed:
            words = os.read(read_end, 4096).decode(errors="replace").strip() or "it gave no reason"
            raise HostLacks(
                f"{failed[0]} could not write the id map: {words}",
                hint="rootless doctor",
            )
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)


def _numbers(ranges: tuple[IdRange, ...]) -> list[str]:
    return [str(number) for each in ranges for number in each]


def _spawn_quietly(argv: list[str], error_fd: int) -> int:
    try:
        return os.posix_spawnp(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, error_fd, 2),
            ],
        )
    except FileNotFoundError:
        raise HostLacks(
            f"{argv[0]} is not installed", hint="an administrator can: apt-get install uidmap"
        ) from None
