"""HOST SIDE: the cgroup of a container that runs, for a further process of it."""

from __future__ import annotations

from rootless.runtime.cgroup import Cgroup


class JoinedCgroup(Cgroup):
    """Systemd moves a process into a scope where we may not."""

    def add(self, pid: int, *, born: bool = False) -> None:
        """Take the process.  Raises HostLacks where systemd does not, PermissionError without it."""
        try:
            super().add(pid, born=born)
        except PermissionError:
            from rootless.runtime.scope import attach, user_bus

            bus = user_bus() if ".scope/" in self.path else None
            if not bus:
                raise
            attach(self.path, pid, bus)
