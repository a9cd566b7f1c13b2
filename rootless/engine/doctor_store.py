"""``doctor`` on files: where the store lies, what that file system can do, how layers are stacked."""

from __future__ import annotations

import errno
import os

from rootless import files, probes
from rootless.engine.doctor_finding import BROKEN, LESS, WORKS, Finding, install
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.host import HostFacts
    from rootless.paths import Paths

# File systems of other machines: no subordinate ids, no overlay, slow small files, locks that may lie.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "cifs",
        "smb3",
        "afs",
        "pvfs2",
        "orangefs",
        "panfs",
        "glusterfs",
        "9p",
        "virtiofs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.gcsfuse",
    ]
)
_SCARCE_BYTES = 1 << 30
_NONE_BYTES = 16 << 20


class MountPoint(NamedTuple):
    """The mount that a path lies on (proc_pid_mountinfo(5))."""

    path: str
    kind: str
    options: tuple[str, ...]


def mount_of(path: str, mountinfo: str) -> MountPoint:
    """The mount on which ``path``, which need not exist, lies or would lie."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    path = os.path.realpath(path)
    best = MountPoint("/", "unknown", ())
    for line in mountinfo.splitlines():
        words = line.split()
        where = words[4].replace("\\040", " ")
        inside = path == where or path.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(
            best.path
        ):  # the last of several on one directory is on top
            separator = words.index("-", 6)
            best = MountPoint(where, words[separator + 1], tuple(words[5].split(",")))
    return best


def directories(paths: Paths) -> list[Finding]:
    """Whether each of our directories can be used, and whose fault it is if not."""
    from rootless.paths import private_directory

    findings: list[Finding] = []
    blamed: set[str] = set()
    for name, path in (("store", paths.data), ("cache", paths.cache), ("run", paths.run)):
        try:
            private_directory(path)
            os.makedirs(paths.scratch, mode=0o700, exist_ok=True)
            _try_writing(path)
        except (RootlessError, OSError) as error:
            finding = _unusable(name, path, error)
            place = mount_of(path, _mountinfo()).path
            if place not in blamed:  # one full disk is one cause
                findings.append(finding)
            blamed.add(place)
    return findings


def _try_writing(path: str) -> None:
    """A file of a block and a lock on it: quotas and full disks refuse only content."""
    with files.scratch(path, "probe") as scratch:
        files.write_atomic(f"{scratch}/file", bytes(65536), durable=False)


def _unusable(name: str, path: str, error: Exception) -> Finding:
    reason = str(error)
    if isinstance(error, OSError):
        reason = (error.strerror or reason).lower()
    where = mount_of(path, _mountinfo())
    remedy = "ROOTLESS_HOME=/a/directory/of/yours rootless doctor"
    if "ro" in where.options:
        reason = f"{where.path} is mounted read-only"
    elif isinstance(error, OSError) and error.errno in (28, 122):  # ENOSPC, EDQUOT
        reason = f"{where.path} is full" if error.errno == 28 else f"your quota on {where.path}"
        remedy = f"make room on {where.path}, or {remedy}"
    return Finding(
        name, BROKEN, why=f"{path}: {reason}", lost="every command", remedy=remedy, who="you"
    )


def file_system(paths: Paths) -> list[Finding]:
    """What the store's file system is, and what is missing there."""
    where = mount_of(paths.data, _mountinfo())
    findings = [Finding("store", WORKS, using=f"{paths.data} on {where.kind}")]
    if where.kind in NETWORK_FILE_SYSTEMS:
        findings[0] = Finding(
            "store",
            LESS,
            using=f"{paths.data} on {where.kind}",
            why=f"{where.path} is a network file system, which knows no subordinate ids",
            lost="the kernel's overlay, owners of files, and speed",
            remedy="export ROOTLESS_HOME=/var/tmp/$USER-rootless (a local disk)",
            who="you",
        )
    elif not keeps_attributes(paths):
        findings[0] = Finding(
            "store",
            LESS,
            using=f"{paths.data} on {where.kind}",
            why=f"{where.path} keeps no extended attributes",
            lost="owners of files where there is one id, and the kernel's overlay",
            remedy="export ROOTLESS_HOME=/a/directory/on/ext4/or/xfs",
            who="you",
        )
    findings += _space(paths, where)
    return findings


def keeps_attributes(paths: Paths) -> bool:
    """Whether a file of the store can have extended attributes (tmpfs since Linux 6.6, NFS since 5.9)."""
    try:
        with files.scratch(paths.scratch, "probe") as scratch:
            os.setxattr(scratch, "user.rootless.probe", b"")
    except OSError as error:
        return error.errno not in (errno.EOPNOTSUPP, errno.EPERM)
    return True


def network_store(paths: Paths) -> str:
    """What is wrong with a store on a file system of other machines; empty for one that is here."""
    where = mount_of(paths.data, _mountinfo())
    if where.kind not in NETWORK_FILE_SYSTEMS:
        if keeps_attributes(paths):
            return ""
        return (
            f"{paths.data} lies on {where.kind}, which keeps no extended attributes: owners of files are lost."
            " Put it on another disk with export ROOTLESS_HOME=/a/directory"
        )
    return (
        f"{paths.data} lies on {where.kind}, where layers lose their owners and everything is slow:"
        " put them on a local disk with export ROOTLESS_HOME=/var/tmp/$USER-rootless"
    )


def _space(paths: Paths, where: MountPoint) -> list[Finding]:
    status = os.statvfs(paths.data)
    free = status.f_bavail * status.f_frsize
    said = f"{free / (1 << 30):.1f} GiB free"
    inodes = status.f_favail if status.f_files else 1 << 20
    if free >= _SCARCE_BYTES and inodes >= 10_000:
        return [Finding("free-space", WORKS, using=said)]
    scarce = (
        f"{where.path} has {free >> 20} MiB free" if inodes >= 10_000 else "few inodes are free"
    )
    return [
        Finding(
            "free-space",
            BROKEN if free < _NONE_BYTES else LESS,
            using=said,
            why=scarce,
            lost="room for images" if free >= _NONE_BYTES else "every pull and every build",
            remedy=f"rootless image prune -a, or make room on {where.path}",
            who="you",
        )
    ]


def stacking(host: HostFacts, paths: Paths, tried: dict[str, str]) -> list[Finding]:
    """Which driver stacks layers, why no better one, and what that costs."""
    if host.native_overlay:
        return [Finding("layers", WORKS, using="overlay of the kernel")]
    why = host.overlay_loss.lower()
    where = mount_of(paths.data, _mountinfo())
    if where.kind in (*NETWORK_FILE_SYSTEMS, "overlay", "ecryptfs"):
        why = f"the store lies on {where.kind}: {why}"
    remedy = "boot Linux 5.11 or newer"
    who = "administrator"
    release = tuple(int(each) for each in os.uname().release.split(".")[:2] if each.isdigit())
    if release >= (5, 11):
        remedy, who = "export ROOTLESS_HOME=/a/directory/on/ext4/or/xfs", "you"
        if "overlay" not in files.text_or_empty("/proc/filesystems"):
            why, remedy, who = (
                "the module overlay is not loaded",
                "modprobe overlay",
                "administrator",
            )
    fuse_why, fuse_remedy = _fuse_loss(host, tried)
    if not fuse_why:
        lost = "speed: a process serves the files"
        return [Finding("layers", LESS, "fuse-overlayfs", why, lost, remedy, who)]
    findings = [
        Finding(
            "layers",
            LESS,
            using="copies (vfs)",
            why=f"{why}; fuse-overlayfs: {fuse_why}",
            lost="time and room: every container is a copy of its image",
            remedy=fuse_remedy,
        )
    ]
    if "noexec" in where.options:
        findings.append(
            Finding(
                "noexec",
                BROKEN,
                why=f"{where.path} is mounted noexec",
                lost="every program of every container",
                remedy=f"mount -o remount,exec {where.path}",
            )
        )
    return findings


def fuse(host: HostFacts, tried: dict[str, str]) -> Finding:
    """FUSE is what is left where the kernel's overlay is not."""
    why, remedy = _fuse_loss(host, tried)
    if not why:
        return Finding("fuse", WORKS, using=host.fuse_overlayfs or "")
    lost = "the second-best way to stack layers, and keep-id without a copy of the image"
    return Finding("fuse", LESS, why=why, lost=lost, remedy=remedy)


def _fuse_loss(host: HostFacts, tried: dict[str, str]) -> tuple[str, str]:
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is missing", "modprobe fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened", "chmod 666 /dev/fuse"
    if tried.get("fuse"):
        return f"a mount of FUSE is refused: {tried['fuse'].lower()}", "modprobe fuse"
    if host.find_program("fuse-overlayfs") is None:
        return "fuse-overlayfs is not installed", install("fuse-overlayfs")
    return "", ""


def noexec(paths: Paths) -> list[Finding]:
    """Programs of images lie in the store; the kernel's overlay and FUSE are mounts of their own."""
    where = mount_of(paths.data, _mountinfo())
    if "noexec" not in where.options:
        return []
    return [
        Finding(
            "noexec",
            WORKS,
            using=f"{where.path} is mounted noexec, which an overlay does not inherit",
        )
    ]


def procfs(host: HostFacts) -> Finding:
    """A new procfs, or that of the outer container."""
    if host.new_proc:
        return Finding("procfs", WORKS, using="a new one for each container")
    covered = sorted(
        {
            line.split()[4]
            for line in _mountinfo().splitlines()
            if line.split()[4].startswith("/proc/")
        }
    )
    why = host.proc_loss.lower()
    if covered:
        why = f"something covers {', '.join(covered[:3])}: the kernel allows no new procfs then"
    return Finding(
        "procfs",
        LESS,
        using="/proc of the host",
        why=why,
        lost="hiding the host's processes: ps and /proc/PID inside show those outside",
        remedy="start the outer container with --security-opt unmask=ALL (podman)"
        " or --security-opt systempaths=unconfined (docker)",
    )


def mounts(tried: dict[str, str]) -> list[Finding]:
    """The kinds of mounts without which there is no container."""
    needed = ("tmpfs", "devpts", "mqueue", "sysfs", "cgroup2", "bind", "attributes")
    instead = {"sysfs": "/sys of the host, read-only"}
    failed = [kind for kind in needed if tried.get(kind)]
    if tried.get("attributes") == os.strerror(errno.ENOSYS):
        failed.remove("attributes")  # older than Linux 5.12: each mount is changed with mount(2)
    works = ", ".join(each for each in needed if each not in failed)
    findings = [Finding("mounts", WORKS, using=works)] if works else []
    for kind in failed:
        vital = kind not in instead
        findings.append(
            Finding(
                f"mount-{kind}",
                BROKEN if vital else LESS,
                using=instead.get(kind, ""),
                why=f"a mount of {kind} is refused: {tried[kind].lower()}",
                lost="containers" if vital else f"a {kind} of their own in containers",
                remedy="start the outer container with --security-opt unmask=ALL",
            )
        )
    return findings


def try_mounts(host: HostFacts, paths: Paths) -> dict[str, str]:
    """Every mount tried once; what cannot even be tried counts as failed."""
    try:
        return probes.mounts_work(host.id_map, paths.scratch)
    except (RootlessError, OSError, RuntimeError) as error:
        return {"bind": str(error)}


def _mountinfo() -> str:
    return files.text_or_empty("/proc/self/mountinfo")
