"""HOST SIDE: a transient scope of the user's systemd, where no cgroup is delegated to us (systemd.scope(5)).

Only asked when limits were: a session that logind or sshd began lies in a cgroup of root's, out of which
only systemd can move a process.  The scope is delegated, so below it everything is as elsewhere.
"""

from __future__ import annotations

import os
import select
import sys
import time

from rootless import files
from rootless.errors import HostLacks
from rootless.kernel import process
from rootless.lean import signal
from rootless.runtime.cgroup import Cgroup, Limit, hand_down, make, offered, own_path
from rootless.typed import Any

_PATIENCE_S = 10.0
_MOMENT_S = 2.0
_MANAGER = "org.freedesktop.systemd1"


def user_bus() -> str:
    """The socket of the user's D-Bus, behind which systemd listens; empty where there is none."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    named = address.partition("unix:path=")[2].partition(",")[0].partition(";")[0]
    for path in (named, f"{runtime}/bus"):
        if path.startswith("/") and os.access(path, os.W_OK):
            return path
    return ""


def controllers(mount: str) -> set[str]:
    """What the user's systemd has been given, and so can give to a scope."""
    uid = os.getuid()
    return offered(f"{mount}/user.slice/user-{uid}.slice/user@{uid}.service")


class ScopedCgroup(Cgroup):
    """A container's cgroup that comes into being with its first process, in a scope of its own.

    ``path`` is empty until then.
    """

    def __init__(
        self, mount: str, name: str, limits: tuple[Limit, ...], *, bus: str, slice: str = ""
    ):
        super().__init__("")
        self._mount = mount
        self._name = name
        self._limits = limits
        self._bus = bus
        self._slice = slice

    @property
    def birthplace(self) -> str:
        """Nowhere: systemd makes a scope of processes that exist."""
        return ""

    def add(self, pid: int, *, born: bool = False) -> None:
        """Put the container's first process into a scope, with the limits.  Raises HostLacks."""
        # Without anybody in it systemd takes a scope away at once, and what was counted there with it.
        keeper = _spawn_keeper(pid)
        unit = f"rootless-{self._name[:12]}-{keeper}.scope"
        with _Bus(self._bus) as bus:
            bus.start_scope(unit, [pid, keeper], self._slice)
        place = _wait_for(pid, unit, self._mount)
        _wait_for(keeper, unit, self._mount)
        below = make(place, self._name)
        below.add(pid)
        make(place, "keeper").add(keeper)
        # Now nothing lives in the scope itself, so it may hand controllers down.
        hand_down(place, self._limits)
        below.limit(self._limits)
        self.path = below.path

    def remove(self) -> None:
        """Remove it; systemd removes the scope once nobody is left."""
        if self.path:
            super().remove()


def _spawn_keeper(pid: int) -> int:
    """A process that outlives process ``pid`` by a moment, and does nothing else."""
    pidfd = os.pidfd_open(pid)
    keeper = os.fork()
    if keeper == 0:
        try:
            process.set_parent_death_signal(signal.SIGKILL)
            process.set_name("rootless:[scope]")
            os.dup2(pidfd, 0)
            process.close_from(1)
            poll = select.poll()
            poll.register(0, select.POLLIN)
            poll.poll()
            time.sleep(_MOMENT_S)
        finally:
            os._exit(0)
    os.close(pidfd)
    return keeper


def attach(path: str, pid: int, bus: str) -> None:
    """Move one more process of ours into the cgroup ``path`` of a scope (``exec``).  Raises HostLacks."""
    unit, _, below = path.partition(".scope/")
    name = unit.rpartition("/")[2] + ".scope"
    with _Bus(bus) as connection:
        connection.call("AttachProcessesToUnit", "ssau", (name, f"/{below}", [pid]))


def _wait_for(pid: int, unit: str, mount: str) -> str:
    """The directory of the scope, once systemd has moved the process there."""
    patience = time.monotonic() + _PATIENCE_S
    while time.monotonic() < patience:
        path = own_path(files.read_bytes(f"/proc/{pid}/cgroup").decode(), mount)
        if path.endswith(unit):
            return path
        time.sleep(0.002)
    raise HostLacks(f"systemd has not started {unit} within {_PATIENCE_S:.0f} seconds")


class _Bus:
    """A connection to the user's systemd."""

    def __init__(self, path: str):
        try:
            from jeepney.io.blocking import open_dbus_connection
        except ImportError:
            raise HostLacks(
                "limits need a scope of systemd here, and the Python package jeepney is missing",
                hint=f"{sys.executable} -m pip install jeepney, or start it with:"
                " systemd-run --user --scope -p Delegate=yes rootless ...",
            ) from None
        try:
            self._connection: Any = open_dbus_connection(bus=f"unix:path={path}")
        except OSError as error:
            raise HostLacks(f"cannot reach systemd at {path}: {error.strerror}") from None

    def __enter__(self) -> _Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def start_scope(self, unit: str, pids: list[int], slice: str) -> None:
        """StartTransientUnit of org.freedesktop.systemd1(5)."""
        properties = [
            ("Description", ("s", "container of rootless")),
            ("PIDs", ("au", pids)),
            ("Delegate", ("b", True)),
            ("CollectMode", ("s", "inactive-or-failed")),
        ]
        if slice:
            properties.append(("Slice", ("s", slice)))
        self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "fail", properties, []))

    def call(self, method: str, signature: str, arguments: tuple[object, ...]) -> None:
        """Call a method of the manager.  Raises HostLacks with systemd's words."""
        from jeepney import DBusAddress, MessageType, new_method_call

        manager = DBusAddress(
            "/org/freedesktop/systemd1", bus_name=_MANAGER, interface=f"{_MANAGER}.Manager"
        )
        message = new_method_call(manager, method, signature, arguments)
        try:
            reply = self._connection.send_and_get_reply(message, timeout=_PATIENCE_S)
        except (OSError, TimeoutError) as error:
            raise HostLacks(f"systemd does not answer: {error}") from None
        if reply.header.message_type == MessageType.error:
            words = reply.body[0] if reply.body else "it gave no reason"
            raise HostLacks(f"systemd gives no scope for the container: {words}")
