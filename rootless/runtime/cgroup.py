"""HOST SIDE: a delegated cgroup v2 subtree - one cgroup a container (cgroups(7), Documentation/cgroup-v2).

Nothing here asks a daemon: a cgroup is made below the caller's own, or below the nearest ancestor that
the caller may write to and that hands the needed controllers down.
"""

from __future__ import annotations

import os
import time

from rootless import files
from rootless.errors import HostLacks
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "rootless-"
_DEFAULT_PROCESSES = "2048"


class Limit(NamedTuple):
    """A value for a file of a cgroup; ``flag`` is how the user asked for it."""

    file: str
    value: str
    flag: str

    @property
    def controller(self) -> str:
        """The part of the name before the dot is the controller, except for ``cgroup.*``."""
        return self.file.partition(".")[0]


class Usage(NamedTuple):
    """What a cgroup has used; bytes, microseconds and counts, None where no controller counts it."""

    cpu_us: int | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    processes: int | None
    read_bytes: int | None
    written_bytes: int | None


class Cgroup:
    """One cgroup directory of ours."""

    def __init__(self, path: str):
        self.path = path

    @property
    def birthplace(self) -> str:
        """The directory in which a process may come to the world; empty where it has to be moved in."""
        return self.path

    def add(self, pid: int, *, born: bool = False) -> None:
        """Take a process, which is in already if it was ``born`` here; its later children will be."""
        if not born:
            self._write("cgroup.procs", str(pid))

    def limit(self, limits: Iterable[Limit]) -> None:
        """Set limits.  Raises HostLacks for one that the kernel refuses."""
        for each in limits:
            try:
                self._write(each.file, each.value)
            except OSError as error:
                raise HostLacks(
                    f"cannot enforce {each.flag}: {each.file} takes no {each.value!r} here"
                    f" ({error.strerror})",
                    hint="rootless doctor",
                ) from None

    def limit_processes(self) -> None:
        """Keep a fork bomb from the machine where that can be had; podman's number."""
        try:
            self._write("pids.max", _DEFAULT_PROCESSES)
        except OSError:
            pass  # the controller is not handed down this far, and nobody asked for it

    def freeze(self) -> None:
        """Stop every process in it; returns when they have stopped.  Raises OSError."""
        self._write("cgroup.freeze", "1")
        self._wait_frozen(b"frozen 1")

    def thaw(self) -> None:
        """Let them go on.  Raises OSError."""
        self._write("cgroup.freeze", "0")
        self._wait_frozen(b"frozen 0")

    def _wait_frozen(self, wanted: bytes) -> None:
        patience = time.monotonic() + 10
        while wanted not in self._read("cgroup.events") and time.monotonic() < patience:
            time.sleep(0.002)

    def kill(self) -> None:
        """SIGKILL to every process in it and below."""
        try:
            self._write("cgroup.kill", "1")  # Linux 5.14
        except OSError:
            for pid in self.processes():
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass

    def processes(self) -> list[int]:
        """The pids in it, not those in cgroups below."""
        return [int(each) for each in self._read("cgroup.procs").split()]

    def remove(self) -> None:
        """Remove it, and what the container made below it; a process that is just ending is waited for."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            patience = time.monotonic() + 2
            while True:
                try:
                    os.rmdir(directory)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > patience:
                        return
                    time.sleep(0.002)

    def oom_kills(self) -> int:
        """How many processes in it were killed for want of memory."""
        return _keyed(self._read("memory.events")).get("oom_kill", 0)

    def usage(self) -> Usage:
        """What it uses now."""
        cpu = _keyed(self._read("cpu.stat"))
        read, written = _io_totals(self._read("io.stat"))
        return Usage(
            cpu_us=cpu.get("usage_usec"),
            memory_bytes=_number(self._read("memory.current")),
            memory_limit_bytes=_number(self._read("memory.max")),
            processes=_number(self._read("pids.current")),
            read_bytes=read,
            written_bytes=written,
        )

    def _write(self, name: str, value: str) -> None:
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _read(self, name: str) -> bytes:
        try:
            return files.read_bytes(f"{self.path}/{name}")
        except OSError:
            return b""


def own_path(self_cgroup: str, mount: str) -> str:
    """The directory of the calling process in the unified hierarchy; from /proc/self/cgroup's text."""
    for line in self_cgroup.splitlines():
        if line.startswith("0::"):
            return mount + (line[3:] if line[3:] != "/" else "")
    return mount


def delegated(mount: str | None) -> str | None:
    """The caller's cgroup, where it may make others; None where nothing is delegated."""
    if mount is None:
        return None
    path = own_path(files.read_bytes("/proc/self/cgroup").decode(), mount)
    return path if _is_writable(path) else None


def place_of(parent: str, mount: str | None) -> str:
    """``--cgroup-parent``: below the mount, or with a relative path below the caller's own cgroup.

    It is made where it is missing.  Raises HostLacks where that is not allowed.
    """
    if mount is None:
        raise HostLacks("--cgroup-parent needs cgroup v2", hint="rootless doctor")
    top = mount
    if not parent.startswith("/"):
        top = own_path(files.read_bytes("/proc/self/cgroup").decode(), mount)
    path = os.path.normpath(f"{top}/{parent.removeprefix(mount + '/').lstrip('/')}")
    if path != mount and not path.startswith(f"{mount}/"):
        raise HostLacks(f"--cgroup-parent {parent} is not a cgroup")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise HostLacks(
            f"cannot make the cgroup {path}: {(error.strerror or str(error)).lower()}"
        ) from None
    if not _is_writable(path):
        raise HostLacks(f"the cgroup {path} is not delegated to you")
    return path


def _is_writable(path: str) -> bool:
    # Moving a process needs the common ancestor's cgroup.procs, too.  The super-user may write
    # everywhere, which is not the same as having been given a subtree.
    writable = os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)
    return writable and (os.geteuid() != 0 or os.path.exists(f"{path}/cgroup.type"))


def create(parent: str, container_id: str, limits: tuple[Limit, ...] = ()) -> Cgroup:
    """Make the container's cgroup below ``parent`` or, when limits need it, below an ancestor.

    Raises HostLacks naming the controller that is not handed down.
    """
    needed = {each.controller for each in limits} - {"cgroup"}
    place = _place_for(parent, needed, limits)
    cgroup = make(place, container_id)
    try:
        cgroup.limit(limits)
        if "pids" not in needed:
            cgroup.limit_processes()
    except BaseException:
        cgroup.remove()
        raise
    return cgroup


def make(place: str, container_id: str) -> Cgroup:
    """The container's cgroup right below ``place``, without limits."""
    path = f"{place}/{_PREFIX}{container_id[:32]}"
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        pass
    return Cgroup(path)


def move_aside(place: str) -> None:
    """Put the processes of ``place`` into a part of it: one with processes hands nothing down."""
    path = f"{place}/supervisor"
    os.makedirs(path, mode=0o755, exist_ok=True)
    for pid in Cgroup(place).processes():
        try:
            Cgroup(path).add(pid)
        except ProcessLookupError:
            continue


def hand_down(place: str, limits: tuple[Limit, ...]) -> None:
    """Let the children of ``place`` be limited so.  Raises HostLacks naming what is missing."""
    needed = {each.controller for each in limits} - {"cgroup"}
    missing = needed - _controllers(place, "cgroup.subtree_control")
    for controller in sorted(missing):
        if not _hand_down(place, {controller}):
            raise _not_delegated(controller, limits)


def _place_for(parent: str, needed: set[str], limits: tuple[Limit, ...]) -> str:
    """The nearest cgroup that we may write to and that gives the controllers to its children."""
    place = parent
    missing = needed
    while needed and _is_writable(place):
        given = _controllers(place, "cgroup.subtree_control")
        missing = needed - given
        # With processes of its own it would become the root of a threaded subtree, which takes no
        # containers, and so would spoil the place for everybody.
        if not Cgroup(place).processes() and (not missing or _hand_down(place, missing)):
            return place
        place = os.path.dirname(place)
    if not needed:
        return parent
    raise _not_delegated(sorted(missing)[0], limits)


def _not_delegated(controller: str, limits: tuple[Limit, ...]) -> HostLacks:
    flags = ", ".join(sorted({each.flag for each in limits if each.controller == controller}))
    return HostLacks(
        f"cannot enforce {flags}: the cgroup controller {controller!r} is not delegated to you",
        hint=f"an administrator can put Delegate={controller} into user@.service (rootless doctor"
        " prints the command), or --best-effort-limits takes the next best",
    )


def can_limit(parent: str, controller: str) -> bool:
    """Whether limits of that controller can be enforced below ``parent`` or an ancestor."""
    try:
        _place_for(parent, {controller}, ())
    except HostLacks:
        return False
    return True


def offered(mount: str) -> set[str]:
    """The controllers that the kernel has in the unified hierarchy."""
    return _controllers(mount, "cgroup.controllers")


def _hand_down(place: str, missing: set[str]) -> bool:
    """Give controllers to the children; refused while processes live in ``place`` itself."""
    if not missing <= _controllers(place, "cgroup.controllers"):
        return False
    try:
        Cgroup(place)._write("cgroup.subtree_control", " ".join(f"+{each}" for each in missing))
    except OSError:
        return False
    return True


def _controllers(path: str, name: str) -> set[str]:
    try:
        return set(files.read_bytes(f"{path}/{name}").decode().split())
    except OSError:
        return set()


def remove_leftovers(parent: str, *, older_than_s: float = 1.0, container_id: str = "") -> None:
    """Remove empty cgroups of ours below ``parent`` and its ancestors that a killed process left.

    That of ``container_id``, which is known to be nobody's, goes whatever its age.
    """
    place = parent
    while _is_writable(place):
        for name in os.listdir(place):
            path = f"{place}/{name}"
            if not name.startswith(_PREFIX) or not os.path.isdir(path):
                continue
            try:
                # A young one may be about to get its first process; rmdir(2) refuses one that has any.
                known = container_id and name == _PREFIX + container_id[:32]
                old = time.time() - os.stat(path).st_mtime > older_than_s
                if (known or old) and not Cgroup(path).processes():
                    os.rmdir(path)
            except OSError:
                continue
        place = os.path.dirname(place)


def _keyed(text: bytes) -> dict[str, int]:
    """A flat-keyed file: one ``KEY NUMBER`` a line."""
    pairs = (line.split() for line in text.decode().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(text: bytes) -> int | None:
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() else None


def _io_totals(text: bytes) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    read = written = 0
    for line in text.decode().splitlines():
        for word in line.split()[1:]:
            key, _, value = word.partition("=")
            if key == "rbytes":
                read += int(value)
            elif key == "wbytes":
                written += int(value)
    return read, written
