"""HostFacts: what this kernel and this user may do, probed once and only when asked."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from rootless.userns import idmap

if TYPE_CHECKING:
    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap


class HostFacts:
    """Lazy facts about the host; cheap until a property is read."""

    def __init__(self, paths: Paths):
        self._paths = paths
        self.uid = os.geteuid()
        self.gid = os.getegid()

    @cached_property
    def user(self) -> str:
        """The caller's login name, or the number where there is none."""
        import pwd

        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @cached_property
    def id_map(self) -> IdMap:
        """The widest id map that this user may have."""
        ranges = []
        for path in ("/etc/subuid", "/etc/subgid"):
            try:
                with open(path, "rb", buffering=0) as file:
                    text = file.read().decode(errors="replace")
            except OSError:
                text = ""
            ranges.append(idmap.subordinate_ranges(text, self.user, self.uid))
        if all(ranges) and self.find_program("newuidmap") and self.find_program("newgidmap"):
            uids, gids = (
                idmap.stack(first, found)
                for first, found in zip((self.uid, self.gid), ranges, strict=True)
            )
            return idmap.IdMap(uids, gids, "helpers")
        return idmap.single(self.uid, self.gid)

    @cached_property
    def native_overlay(self) -> bool:
        """Whether overlayfs mounts in a user namespace on the store's file system."""
        return True

    @cached_property
    def fuse_overlayfs(self) -> str | None:
        """The path of a fuse-overlayfs that can be used, if there is one."""
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            return None
        return self.find_program("fuse-overlayfs")

    @cached_property
    def new_proc(self) -> bool:
        """Whether a new procfs may be mounted; not where an outer container has masked its own."""
        return True

    @cached_property
    def cgroup2_mount(self) -> str | None:
        """Where the unified cgroup hierarchy is mounted."""
        for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            if os.path.exists(f"{path}/cgroup.controllers"):
                return path
        return None

    @cached_property
    def _pasta_findings(self) -> tuple[str | None, str | None]:
        from rootless.network import findings

        return findings.find("pasta", self.find_program("pasta"), self._paths.cache)

    @cached_property
    def pasta(self) -> str | None:
        """The path of a pasta that works here."""
        return self.find_program("pasta") if self._pasta_findings[0] is None else None

    @cached_property
    def pasta_publishes(self) -> bool:
        """Whether ports that pasta publishes work here."""
        return self._pasta_findings[1] is None

    @cached_property
    def slirp4netns(self) -> str | None:
        """The path of a slirp4netns that works here."""
        from rootless.network import findings

        program = self.find_program("slirp4netns")
        failure, _ = findings.find("slirp4netns", program, self._paths.cache)
        return program if failure is None else None

    @staticmethod
    def find_program(name: str) -> str | None:
        """The path of an executable on PATH."""
        for directory in os.environ.get("PATH", os.defpath).split(":"):
            path = f"{directory}/{name}"
            if directory and os.access(path, os.X_OK):
                return path
        return None
