"""``doctor`` on namespaces and ids: what the kernel gives this user, and who forbids the rest."""

from __future__ import annotations

import errno
import os

from rootless import files, probes
from rootless.engine import apparmor
from rootless.engine.doctor_finding import BROKEN, LESS, WORKS, Finding, install
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.host import HostFacts
    from rootless.userns.idmap import IdMap

_SPACES = "/proc/sys/user/max_{}_namespaces"
_SYSCTLS = {"network": "net", "mount": "mnt"}


def user_namespace(host: HostFacts) -> Finding:
    """Whether a user namespace can be made at all; everything else stands on it."""
    from rootless.kernel import namespace
    from rootless.userns import enter, idmap

    name = "user-namespace"
    try:
        enter.in_child(lambda: namespace.unshare(namespace.CLONE_NEWUSER))
    except OSError as error:
        why, remedy = _forbidden(error.errno or 0)
        return Finding(name, BROKEN, why=why, lost="containers", remedy=remedy)
    alone = idmap.single(host.uid, host.gid)
    failure = probes.id_map_works(alone) or _rights_inside(alone)
    if failure:
        why, remedy = _without_rights(failure)
        return Finding(name, BROKEN, why=why, lost="containers", remedy=remedy)
    through = os.environ.get("ROOTLESS_STARTED_BY")
    by = f", through the AppArmor profile of {through}" if through else ""
    return Finding(name, WORKS, using=f"Linux {os.uname().release}{by}")


def _rights_inside(id_map: IdMap) -> str:
    """Root of a new user namespace must be able to mount; AppArmor and others take that away."""
    from rootless.kernel import mount
    from rootless.userns import enter

    try:
        enter.call(lambda: mount.mount("tmpfs", "/tmp", "tmpfs"), id_map, mount_namespace=True)
    except (OSError, RuntimeError) as error:
        return str(error)
    return ""


def _forbidden(number: int) -> tuple[str, str]:
    """Why unshare(CLONE_NEWUSER) fails, as far as the host says, and the remedy."""
    if number == errno.ENOSPC:
        limit = _number("/proc/sys/user/max_user_namespaces")
        if limit == 0:
            return "the sysctl user.max_user_namespaces is 0", _raise_limit("user")
        return (
            f"all {limit} user namespaces that user.max_user_namespaces allows are in use,"
            " or 32 of them lie inside each other",
            _raise_limit("user", 4 * (limit or 4096)),
        )
    if _number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        return (
            "the sysctl kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if apparmor.is_restricted():
        return _apparmor()
    if not os.path.exists("/proc/self/ns/user"):
        if not os.path.exists("/proc/self/status"):
            return "/proc is not mounted", "mount -t proc proc /proc"
        return "this kernel was built without user namespaces", "boot a kernel with CONFIG_USER_NS"
    if number == errno.EPERM and _in_chroot():
        return (
            "this is a chroot, and the kernel makes no user namespaces in one",
            "use pivot_root, a container or systemd-nspawn instead of chroot",
        )
    if _status("Seccomp") == "2":
        return (
            "a seccomp filter forbids it: that of an outer container or of a service",
            "start the outer container with --security-opt seccomp=unconfined",
        )
    return f"the kernel refuses: {os.strerror(number).lower()}", "dmesg"


def _without_rights(failure: str) -> tuple[str, str]:
    if apparmor.is_restricted():
        return _apparmor()
    if _status("Seccomp") == "2":
        return (
            f"a seccomp filter leaves root of a user namespace no rights: {failure}",
            "start the outer container with --security-opt seccomp=unconfined",
        )
    return f"root of a user namespace has no rights here: {failure}", "dmesg"


def _apparmor() -> tuple[str, str]:
    return (
        "AppArmor restricts unprivileged user namespaces, and no profile allows them to us",
        apparmor.install_command(),
    )


def _in_chroot() -> bool:
    """In a chroot no mount is on our own root, unless the chroot is a mount itself."""
    mounts = files.text_or_empty("/proc/self/mountinfo").splitlines()
    at_root = [line.split() for line in mounts if line.split()[4] == "/"]
    try:
        return not at_root or os.stat("/").st_ino != os.stat("/proc/1/root/.").st_ino
    except OSError:
        return not at_root


def ids(host: HostFacts) -> Finding:
    """How many ids a container has, and who writes the maps."""
    id_map = host.id_map
    if not host.id_map_loss:
        count = sum(each.size for each in id_map.uids)
        using = {"helpers": "newuidmap and newgidmap", "direct": "root itself"}.get(
            id_map.writer, id_map.writer
        )
        return Finding("ids", WORKS, using=f"{count} ids by {using}")
    why, remedy = _why_single(host)
    who = "administrator"
    if host.store_loss:
        why, remedy, who = (
            host.id_map_loss,
            "export ROOTLESS_HOME=/a/directory/on/ext4/or/xfs",
            "you",
        )
    using = "one id: root inside is you"
    lost = "other users inside a container, and owners of files other than root"
    if not host.notification_loss:
        using += "; other owners are emulated"
        lost = "speed of what deals in owners, and real separation of users inside a container"
    return Finding("ids", LESS, using=using, why=why, lost=lost, remedy=remedy, who=who)


def _why_single(host: HostFacts) -> tuple[str, str]:
    """The true cause, in the order in which newuidmap itself would meet them."""
    for program in ("newuidmap", "newgidmap"):
        path = host.find_program(program)
        if path is None:
            return f"{program} is not installed", install("newuidmap")
    for file in ("/etc/subuid", "/etc/subgid"):
        if not host.has_range(file):
            return (
                f"{host.user} has no range in {file}",
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {host.user}",
            )
    if _status("NoNewPrivs") == "1":
        return (
            "this process has no_new_privs, under which newuidmap gets no rights",
            "start rootless outside of what sets it (an outer container, a service, a sandbox)",
        )
    for program in ("newuidmap", "newgidmap"):
        path = os.path.realpath(host.find_program(program) or "")
        if not _is_privileged(path):
            return (
                f"{path} is neither setuid nor has it file capabilities",
                f"chmod u+s {path}",
            )
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            return (
                f"{path} lies on a file system that is mounted nosuid",
                f"mount -o remount,suid {_mount_of(path)}",
            )
    return host.id_map_loss, "grep . /etc/subuid /etc/subgid"


def _is_privileged(path: str) -> bool:
    try:
        os.getxattr(path, "security.capability")
    except OSError:
        return bool(os.stat(path).st_mode & 0o4000)
    return True


def _mount_of(path: str) -> str:
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def namespaces(host: HostFacts) -> list[Finding]:
    """The other namespaces; a container can do without one of the network, and without no other."""
    findings = []
    for kind in ("mount", "pid", "network", "ipc", "uts", "cgroup"):
        if kind == "network":
            failure = host.network_loss
        else:
            failure = probes.namespace_works(host.id_map, kind)
        if not failure:
            continue
        short = _SYSCTLS.get(kind, kind)
        is_zero = _number(_SPACES.format(short)) == 0
        why = f"the sysctl user.max_{short}_namespaces is 0" if is_zero else failure.lower()
        findings.append(
            Finding(
                f"{kind}-namespace",
                LESS if kind == "network" else BROKEN,
                using="the network of the host" if kind == "network" else "",
                why=why,
                lost="a network of its own" if kind == "network" else "containers",
                remedy=_raise_limit(short),
            )
        )
    if not findings:
        findings.append(Finding("namespaces", WORKS, using="mount pid network ipc uts cgroup"))
        findings += _host_name(host)
    return findings


def _host_name(host: HostFacts) -> list[Finding]:
    if not host.hostname_loss:
        return []
    return [
        Finding(
            "hostname",
            LESS,
            using="the name of the host",
            why="a seccomp filter forbids it: that of an outer container or of a service",
            lost="host names of their own in containers",
            remedy="start the outer container with --security-opt seccomp=unconfined",
        )
    ]


def _raise_limit(kind: str, value: int = 15000) -> str:
    return f"sysctl -w user.max_{kind}_namespaces={value}"


def _status(field: str) -> str:
    for line in files.text_or_empty("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


def _number(path: str) -> int | None:
    text = files.text_or_empty(path).strip()
    return int(text) if text.isdigit() else None
