"""What a test run leaves behind: processes, mounts, cgroups, links and files of the test user."""

from __future__ import annotations

import os
import tempfile
from typing import NamedTuple

from tests.support.capabilities import own_cgroup

# Caches that make the next run faster; and podman never removes its lock in /dev/shm.
IGNORED_FILES = frozenset({".cache", ".local", ".config", ".bash_history"})


class Snapshot(NamedTuple):
    """The state of everything that a test could leave behind."""

    processes: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    files: frozenset[str]

    def added_since(self, earlier: Snapshot) -> list[str]:
        """One line for each thing that is here now and was not before."""
        return [
            f"{kind}: {each}"
            for kind, now, before in zip(self._fields, self, earlier, strict=True)
            for each in sorted(now - before)
        ]


def take(ignore: tuple[str, ...] = ()) -> Snapshot:
    """Look now; paths that begin with one of ``ignore`` do not count."""
    return Snapshot(
        processes=_processes(),
        mounts=_mounts(ignore),
        cgroups=_cgroups(),
        links=frozenset(os.listdir("/sys/class/net")),
        files=_files(ignore),
    )


def _our_uids() -> list[range]:
    """Our own uid, and the subordinate ones that only our containers have."""
    uids = [range(os.getuid(), os.getuid() + 1)]
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or "-"
    try:
        with open("/etc/subuid", encoding="utf-8") as file:
            for line in file:
                owner, _, rest = line.strip().partition(":")
                start, _, count = rest.partition(":")
                if owner in (name, str(os.getuid())) and start.isdigit() and count.isdigit():
                    uids.append(range(int(start), int(start) + int(count)))
    except FileNotFoundError:
        pass
    return uids


def _processes() -> frozenset[str]:
    """Processes of our ids.  On a user's own desktop others come and go, so there only those count
    that run the code under test or stand in a directory of these tests.
    """
    dedicated = bool(os.environ.get("ROOTLESS_TEST_DEDICATED_USER"))
    uids = _our_uids()
    found = set()
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
            if not any(uid in each for each in uids) or _is_ancestor(int(pid)):
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if command and (dedicated or "rootless" in command):
            found.add(f"{pid}: {command[:160]}")
    return frozenset(found)


def _is_ancestor(pid: int) -> bool:
    current = os.getpid()
    while current > 1:
        if current == pid:
            return True
        with open(f"/proc/{current}/stat", encoding="ascii", errors="replace") as file:
            current = int(file.read().rpartition(")")[2].split()[1])
    return False


def _mounts(ignore: tuple[str, ...]) -> frozenset[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = {line.split()[4] for line in file}
    return frozenset(point for point in points if not point.startswith(ignore or ("\0",)))


def _cgroups() -> frozenset[str]:
    top = own_cgroup()
    if top is None or not os.access(top, os.W_OK):
        return frozenset()
    return frozenset(path for path, _, _ in os.walk(top))


def _files(ignore: tuple[str, ...]) -> frozenset[str]:
    """Entries of ours in the shared and the private places where programs drop things."""
    home = os.path.expanduser("~")
    places = {tempfile.gettempdir(), "/tmp", "/dev/shm", "/var/tmp", home}
    places.add(os.environ.get("XDG_RUNTIME_DIR") or home)
    found = set()
    for place in places:
        try:
            with os.scandir(place) as entries:
                names = [entry.path for entry in entries if _is_ours(entry)]
        except OSError:
            continue
        found.update(path for path in names if not path.startswith(ignore or ("\0",)))
    return frozenset(path for path in found if not _is_ignored(os.path.basename(path)))


def _is_ignored(name: str) -> bool:
    return name in IGNORED_FILES or name.startswith("libpod_rootless_lock_")


def _is_ours(entry: os.DirEntry[str]) -> bool:
    try:
        uid = entry.stat(follow_symlinks=False).st_uid
    except OSError:
        return False
    return any(uid in each for each in _our_uids())
