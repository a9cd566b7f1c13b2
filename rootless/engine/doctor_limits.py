"""``doctor`` on cgroups: which limits can be enforced, and who hands the controllers down."""

from __future__ import annotations

from rootless.engine.doctor_finding import LESS, WORKS, Finding, boot_with
from rootless.runtime import cgroup
from rootless.runtime.scope import controllers, user_bus
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.host import HostFacts

CONTROLLERS = {
    "cpu": "--cpus, --cpu-shares",
    "memory": "--memory and out-of-memory reports",
    "pids": "--pids-limit",
    "io": "--device-read-bps and its relatives, --blkio-weight",
    "cpuset": "--cpuset-cpus",
}
_DELEGATE = (
    "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io"
    " memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl"
    " daemon-reload"
)


def limits(host: HostFacts) -> list[Finding]:
    """The hierarchy, whether a subtree is ours, and each controller tried by using it."""
    mount = host.cgroup2_mount
    if mount != "/sys/fs/cgroup":
        return [_old_hierarchy(mount)]
    place = cgroup.delegated(mount)
    if place is not None:
        findings = [Finding("cgroup", WORKS, using=place)]
        missing = [each for each in CONTROLLERS if not cgroup.can_limit(place, each)]
    elif user_bus():
        using = "a scope of systemd for containers with limits"
        findings = [Finding("cgroup", WORKS, using=using)]
        given = controllers(mount)
        missing = [each for each in CONTROLLERS if each not in given]
    else:
        return [_not_delegated(host)]
    works = [each for each in CONTROLLERS if each not in missing]
    if works:
        findings.append(Finding("controllers", WORKS, using=" ".join(works)))
    offered = cgroup.offered(mount)
    for name in missing:
        why, remedy = _why_missing(name, name in offered)
        findings.append(Finding(f"cgroup-{name}", LESS, "", why, CONTROLLERS[name], remedy))
    return findings


def _why_missing(name: str, offered: bool) -> tuple[str, str]:
    if not offered:
        return f"this kernel offers no controller {name} in cgroup v2", _unified()
    return f"the controller {name} is not delegated to you", _DELEGATE


def _old_hierarchy(mount: str | None) -> Finding:
    where = "is nowhere mounted" if mount is None else f"has no controllers: it is at {mount}"
    return Finding(
        "cgroup",
        LESS,
        using="no cgroup",
        why=f"cgroup v2 {where}",
        lost="limits, stats, pause",
        remedy=_unified(),
    )


def _unified() -> str:
    return boot_with("systemd.unified_cgroup_hierarchy=1")


def _not_delegated(host: HostFacts) -> Finding:
    return Finding(
        "cgroup",
        LESS,
        using="the cgroup of this session",
        why="your cgroup is not delegated to you, and no user session of systemd is there to ask",
        lost="limits, stats, pause",
        remedy=f"loginctl enable-linger {host.user}, and log in anew",
    )
