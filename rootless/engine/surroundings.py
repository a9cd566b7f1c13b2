"""What of this host a launch uses: facts for planning, the seccomp filter, the network backend."""

from __future__ import annotations

import os

from rootless.errors import HostLacks
from rootless.kernel import capability, landlock
from rootless.runtime import cgroup
from rootless.runtime.cgroup import Limit
from rootless.runtime.plan import Kernel
from rootless.runtime.seccomp_cache import load_emulation, load_or_compile
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.host import HostFacts
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.container import Record
    from rootless.runtime.emulation import Emulation


def kernel_facts(host: HostFacts) -> Kernel:
    """The facts that planning needs; each costs one system call or a cached probe."""
    return Kernel(
        last_capability=capability.last_capability(),
        landlock_rights=landlock.rights_of(landlock.abi()),
        new_proc=host.new_proc,
        new_sys=not host.sys_loss,
        new_sysctls=host.new_sysctls,
        cgroup2=host.cgroup2_mount,
        fuse_program=host.fuse_overlayfs or "fuse-overlayfs",
    )


def profile_of(record: Record, bundle: str) -> str:
    """The seccomp profile that a container was made with; a file's content was copied to its bundle."""
    profile: str = record["launch"]["seccomp"]
    return profile if profile in ("default", "unconfined") else f"{bundle}/{profile}"


def seccomp_filter(
    engine: Engine, *, profile: str, capabilities: tuple[str, ...], terminal: bool
) -> bytes:
    """The compiled filter, from the cache where it is; empty for ``unconfined``."""
    if profile == "unconfined":
        return b""
    os.makedirs(engine.paths.seccomp, mode=0o700, exist_ok=True)
    return load_or_compile(
        engine.paths.seccomp,
        profile=None if profile == "default" else profile,
        capabilities=capabilities,
        terminal=terminal,
        architecture=os.uname().machine,
        kernel=kernel_version(),
    )


def ownership(engine: Engine) -> str:
    """What chown(2) is in containers: ``real`` with a range of ids, else emulated.

    ``recorded``: the owners are kept beside the files and come out in layers; ``answered``: calls succeed
    and are forgotten; ``refused``: no system call table for this machine.
    """
    if not engine.id_map.is_single:
        return "real"
    from rootless.runtime.abis import ABIS

    if os.uname().machine not in ABIS:
        return "refused"
    return "answered" if engine.host.notification_loss else "recorded"


def emulation(
    engine: Engine, capabilities: tuple[str, ...], *, stat: bool = False
) -> Emulation | None:
    """What answers chown(2) and its like where there is only one id; None where ids are real.

    With ``stat`` files are shown with the owners that are recorded, at some 40 us a call: in a build,
    where programs that copy owners decide what the image gets, and for a program that is to believe that
    it is not root.
    """
    how = ownership(engine)
    if how in ("real", "refused"):
        return None
    from rootless.runtime.emulation import Emulation
    from rootless.runtime.emulation_filter import calls_for

    if not calls_for(capabilities) and not stat:
        return None
    os.makedirs(engine.paths.seccomp, mode=0o700, exist_ok=True)
    ask, answer, names = load_emulation(
        engine.paths.seccomp, capabilities=capabilities, architecture=os.uname().machine, stat=stat
    )
    return Emulation(ask if how == "recorded" else b"", answer, names)


def kernel_version() -> tuple[int, int]:
    """Major and minor number of this kernel."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or "0")


def make_cgroup(engine: Engine, record: Record) -> Cgroup | None:
    """The container's own cgroup, where the caller has been given a place for it.

    Raises HostLacks when limits were asked for that cannot be enforced.
    """
    limits = tuple(Limit(*each) for each in record["launch"].get("limits", ()))
    if record["launch"].get("cgroups", "enabled") == "disabled" and not limits:
        return None
    parent = record["launch"].get("cgroup_parent")
    if record["launch"].get("cgroups") == "split" and not parent:
        parent = _split(engine, limits)
    if record["settings"].get("best_effort_limits") and limits:
        return _best_effort(engine, record, limits, parent=parent)
    return cgroup_for(engine, record["id"], limits, parent=parent)


def _split(engine: Engine, limits: tuple[Limit, ...]) -> str:
    """Our own cgroup holds the container; with limits we move into a part of it first.

    Raises HostLacks where it is not ours: systemd makes it so with Delegate=yes.
    """
    place = cgroup.delegated(engine.host.cgroup2_mount)
    if place is None:
        raise HostLacks(
            "--cgroups split needs a cgroup that is delegated to rootless",
            hint="put Delegate=yes into the unit that starts it",
        )
    place = place.removesuffix("/supervisor")  # where an earlier one has put us
    if limits:
        cgroup.move_aside(place)
    mount: str = engine.host.cgroup2_mount or ""
    return place.removeprefix(mount) or "/"


def _best_effort(
    engine: Engine, record: Record, limits: tuple[Limit, ...], *, parent: str | None
) -> Cgroup:
    """What a cgroup can enforce, and the next best for the rest."""
    from rootless.runtime.best_effort import BestEffort, substitute
    from rootless.runtime.container import OOM

    enforced: tuple[Limit, ...] = ()
    others: tuple[Limit, ...] = ()
    place = cgroup.delegated(engine.host.cgroup2_mount)
    given = _given_by_systemd(engine) if place is None else set()
    for each in limits:
        if each.controller in given or (place and cgroup.can_limit(place, each.controller)):
            enforced += (each,)
        else:
            others += (each,)
    inner = None
    if place or parent or enforced:
        inner = cgroup_for(engine, record["id"], enforced, parent=parent)
    note = f"{engine.paths.running(record['id'])}/{OOM}"
    return BestEffort(inner, tuple(map(substitute, others)), note=note)


def _given_by_systemd(engine: Engine) -> set[str]:
    """The controllers of a scope, where one can be had."""
    from rootless.runtime.scope import controllers, user_bus

    mount = engine.host.cgroup2_mount
    return controllers(mount) if mount == "/sys/fs/cgroup" and user_bus() else set()


def cgroup_for(
    engine: Engine, name: str, limits: tuple[Limit, ...], *, parent: str | None = None
) -> Cgroup | None:
    """A cgroup with limits, below ``parent`` or the caller's own; without limits there may be none.

    ``parent`` is as after --cgroup-parent.  Raises HostLacks for limits that cannot be enforced.
    """
    mount = engine.host.cgroup2_mount
    if parent and parent.endswith(".slice"):
        return _scope(engine, name, limits, slice=parent)
    place = cgroup.place_of(parent, mount) if parent else cgroup.delegated(mount)
    if place is None:
        return _scope(engine, name, limits) if limits else None
    try:
        return cgroup.create(place, name, limits)
    except OSError:
        if limits:
            raise
        return None  # the caller's cgroup may be full, or threaded; the container does not need one


def _scope(engine: Engine, name: str, limits: tuple[Limit, ...], *, slice: str = "") -> Cgroup:
    """The user's systemd can make a place for us.  Raises HostLacks where there is none."""
    from rootless.runtime.scope import ScopedCgroup, user_bus

    mount, bus = engine.host.cgroup2_mount, user_bus()
    what = limits[0].flag if limits else f"--cgroup-parent {slice}"
    if mount != "/sys/fs/cgroup":
        raise HostLacks(
            f"cannot enforce {what}: this host has no cgroup v2 with controllers",
            hint="rootless doctor, or --best-effort-limits",
        )
    if not bus:
        raise HostLacks(
            f"cannot enforce {what}: no cgroup v2 is delegated to you, and no user session of"
            " systemd is there to ask",
            hint=f"loginctl enable-linger {engine.host.user} and log in anew"
            ", or --best-effort-limits takes the next best",
        )
    return ScopedCgroup(mount, name, limits, bus=bus, slice=slice.rpartition("/")[2])
