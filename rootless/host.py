"""HostFacts: what this kernel and this user may do, probed once and only when asked."""

from __future__ import annotations

import os

from rootless import files, remembered
from rootless.lean import cached_property
from rootless.typed import TYPE_CHECKING
from rootless.userns import idmap

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap

_CAP_SETUID = 7


class HostFacts:
    """Lazy facts about the host; cheap until a property is read."""

    def __init__(self, paths: Paths, *, fresh: bool = False):
        """With ``fresh`` every probe is made anew, and its answer kept for others (``doctor``)."""
        self._paths = paths
        self._fresh = fresh
        self.uid = os.geteuid()
        self.gid = os.getegid()
        self._refused = ""

    @cached_property
    def user(self) -> str:
        """The caller's login name, or the number where there is none."""
        import pwd

        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @cached_property
    def _id_map_and_loss(self) -> tuple[IdMap, str]:
        """The widest map that works, and why it is not wider (empty where it is wide)."""
        for candidate in self._wide_maps():
            failure = self._ask(
                "id-map",
                (candidate, self.find_program("newuidmap"), self._store_device),
                lambda candidate=candidate: self._why_not(candidate),  # type: ignore[misc]
            )
            if not failure:
                return candidate, ""
            self._refused = failure
        return idmap.single(self.uid, self.gid), self._why_single()

    def _why_not(self, candidate: IdMap) -> str:
        """Why there can be no user namespace with this map, or no files of its ids in the store."""
        probes, paths = _probes(), self._paths
        failure: str = probes.id_map_works(candidate)
        return failure or probes.store_holds_owners(candidate, paths.data, paths.scratch)

    @property
    def store_loss(self) -> bool:
        """Whether it is the store's file system that takes no files of other ids."""
        return self.id_map_loss.startswith(f"{self._paths.data} takes")

    @property
    def _store_device(self) -> int:
        try:
            return os.stat(self._paths.data).st_dev
        except FileNotFoundError:
            return 0

    def _ask(self, name: str, facts: object, probe: Callable[[], str]) -> str:
        return remembered.answer(self._paths.cache, name, facts, probe, fresh=self._fresh)

    def _wide_maps(self) -> tuple[IdMap, ...]:
        uid_map = files.text_or_empty("/proc/self/uid_map")
        if self.uid == 0 and _holds(_CAP_SETUID):
            uids, gids = (
                idmap.for_super_user(
                    files.text_or_empty(f"/proc/self/{kind}_map"),
                    files.text_or_empty(f"/etc/sub{kind}"),
                    self.user,
                )
                for kind in ("uid", "gid")
            )
            return (idmap.IdMap(uids, gids, "direct"),) if uids and gids else ()
        found = [self._subordinate(path) for path in ("/etc/subuid", "/etc/subgid")]
        if not all(found) or not self._has_helpers or not uid_map:
            return ()
        uids, gids = idmap.stack(self.uid, found[0]), idmap.stack(self.gid, found[1])
        return (idmap.IdMap(uids, gids, "helpers"),)

    def _subordinate(self, path: str) -> tuple[tuple[int, int], ...]:
        return idmap.subordinate_ranges(
            files.text_or_empty(path), self.user, self.uid
        ) or self._ask_getsubids(path)

    def has_range(self, path: str) -> bool:
        """Whether ``path`` (/etc/subuid or /etc/subgid), or a directory service, gives the user ids."""
        return bool(self._subordinate(path))

    def _ask_getsubids(self, path: str) -> tuple[tuple[int, int], ...]:
        """Ranges that a directory service gives (getsubids(1)); only asked where the files have none."""
        program = self.find_program("getsubids")
        nss = files.text_or_empty("/etc/nsswitch.conf")
        if program is None or "subid:" not in nss:
            return ()
        import subprocess

        flags = ["-g"] if path.endswith("gid") else []
        answer = subprocess.run(
            [program, *flags, self.user], capture_output=True, text=True, check=False, timeout=10
        )
        return idmap.parse_getsubids(answer.stdout)

    @property
    def _has_helpers(self) -> bool:
        return bool(self.find_program("newuidmap") and self.find_program("newgidmap"))

    def _why_single(self) -> str:
        if self._refused:
            return self._refused
        if not self._has_helpers:
            return "newuidmap is not installed (an administrator can: apt-get install uidmap)"
        return (
            f"{self.user} has no range in /etc/subuid and /etc/subgid (an administrator can:"
            f" usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {self.user})"
        )

    @property
    def id_map(self) -> IdMap:
        """The widest id map that this user may have."""
        return self._id_map_and_loss[0]

    @property
    def id_map_loss(self) -> str:
        """Why there is only one id in containers; empty where there are many."""
        return self._id_map_and_loss[1]

    @cached_property
    def notification_loss(self) -> str:
        """Why system calls of a container cannot be answered by a process of ours; empty where they can."""
        return self._ask(
            "notification",
            (os.uname().release, self._filters),
            lambda: _probes().seccomp_works(notification=True),
        )

    @cached_property
    def native_overlay(self) -> bool:
        """Whether overlayfs mounts in a user namespace on the store's file system."""
        return not self.overlay_loss

    @cached_property
    def overlay_loss(self) -> str:
        """Why the kernel's overlay cannot be used; empty where it can."""
        scratch = self._paths.scratch
        return self._ask(
            "overlay",
            (os.stat(self._paths.data).st_dev, self.id_map),
            lambda: _probes().overlay_works(self.id_map, scratch),
        )

    @cached_property
    def fuse_overlayfs(self) -> str | None:
        """The path of a fuse-overlayfs that can be used, if there is one."""
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            return None
        return self.find_program("fuse-overlayfs")

    @property
    def new_proc(self) -> bool:
        """Whether a new procfs may be mounted; not where an outer container has masked its own."""
        return not self.proc_loss

    @property
    def proc_loss(self) -> str:
        """Why no new procfs may be mounted; empty where it may."""
        return self._kernel_files[0]

    @property
    def new_sysctls(self) -> bool:
        """Whether /proc/sys of a container can be written; that of an outer one is often read-only."""
        return self.new_proc or not os.statvfs("/proc/sys").f_flag & os.ST_RDONLY

    @property
    def sys_loss(self) -> str:
        """Why no new sysfs may be mounted; empty where it may."""
        return self._kernel_files[1]

    @cached_property
    def _kernel_files(self) -> tuple[str, str]:
        lines = files.text_or_empty("/proc/self/mountinfo").splitlines()
        mounts = [line for line in lines if " /proc" in line or " /sys" in line]
        answer = self._ask(
            "kernel-files",
            (mounts, self.id_map),
            lambda: _probes().kernel_files_work(self.id_map, self._paths.scratch),
        )
        proc, _, sys = answer.partition("\n")
        return proc, sys

    @cached_property
    def network_loss(self) -> str:
        """Why a container can have no network namespace of its own; empty where it can."""
        return self._ask(
            "network-namespace",
            (files.text_or_empty("/proc/sys/user/max_net_namespaces"), self.id_map),
            lambda: _probes().namespace_works(self.id_map, "network"),
        )

    @cached_property
    def hostname_loss(self) -> str:
        """Why a container can have no host name of its own; empty where it can."""
        if "Seccomp:\t0" in self._filters:
            return ""
        return self._ask(
            "hostname", (self._filters, self.id_map), lambda: _probes().hostname_works(self.id_map)
        )

    @cached_property
    def _filters(self) -> list[str]:
        """What of filters for system calls lies on us already."""
        lines = files.text_or_empty("/proc/self/status").splitlines()
        return [line for line in lines if "Seccomp" in line]

    @cached_property
    def cgroup2_mount(self) -> str | None:
        """Where the unified cgroup hierarchy is mounted."""
        for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            if os.path.exists(f"{path}/cgroup.controllers"):
                return path
        return None

    @cached_property
    def _pasta_findings(self) -> tuple[str | None, str | None, str | None]:
        from rootless.network import findings

        return findings.find(
            "pasta", self.find_program("pasta"), self._paths.cache, refresh=self._fresh
        )

    @cached_property
    def pasta(self) -> str | None:
        """The path of a pasta that works here."""
        return self.find_program("pasta") if self._pasta_findings[0] is None else None

    @cached_property
    def pasta_publishes(self) -> bool:
        """Whether ports that pasta publishes work here."""
        return self._pasta_findings[1] is None

    @cached_property
    def pasta_slowness(self) -> str | None:
        """Why another helper is better here; None where pasta is as fast as it should be."""
        return self._pasta_findings[2]

    @cached_property
    def _slirp4netns_failure(self) -> str | None:
        from rootless.network import findings

        program = self.find_program("slirp4netns")
        return findings.find("slirp4netns", program, self._paths.cache, refresh=self._fresh)[0]

    @property
    def network_helper_losses(self) -> dict[str, str]:
        """Why each network helper cannot be used; empty texts where it can."""
        return {
            "pasta": self._pasta_findings[0] or "",
            "slirp4netns": self._slirp4netns_failure or "",
        }

    @property
    def slirp4netns(self) -> str | None:
        """The path of a slirp4netns that works here."""
        program = self.find_program("slirp4netns")
        return program if self._slirp4netns_failure is None else None

    @staticmethod
    def find_program(name: str) -> str | None:
        """The path of an executable on PATH."""
        for directory in os.environ.get("PATH", os.defpath).split(":"):
            path = f"{directory}/{name}"
            if directory and os.access(path, os.X_OK):
                return path
        return None


def _holds(number: int) -> bool:
    """Only the super-user needs to know here; with it comes ctypes."""
    from rootless.kernel import capability

    return capability.holds(number)


def _probes() -> ModuleType:
    """Most starts only read what an earlier one has found."""
    from rootless import probes

    return probes
