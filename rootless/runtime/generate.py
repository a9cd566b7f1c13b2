"""ContainerOptions and an id map to a runtime-spec document.  Pure."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING
from rootless.userns.idmap import is_mapped

if TYPE_CHECKING:
    from rootless.runtime.options import ContainerOptions
    from rootless.runtime.options import Mount as OptionMount
    from rootless.runtime.spec import IdMapping, Linux, Mount, Namespace, Process, Spec
    from rootless.userns.idmap import IdMap, IdRange

OCI_VERSION = "1.2.0"

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READ_ONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
NAMESPACES = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def generate(
    options: ContainerOptions, id_map: IdMap, *, rootfs_path: str, new_sysctls: bool = True
) -> Spec:
    """The document that describes the container; ``rootfs_path`` is where its root is mounted.

    Without ``new_sysctls`` its /proc/sys cannot be written, and only what was asked for is in it.
    """
    namespaces = _namespaces(options)
    return {
        "ociVersion": OCI_VERSION,
        "root": {"path": rootfs_path, "readonly": options.read_only},
        "process": _process(options),
        "hostname": options.hostname,
        "domainname": options.domainname,
        "mounts": _mounts(options, id_map, {each["type"] for each in namespaces}),
        "annotations": dict(options.annotations),
        "linux": _linux(options, id_map, namespaces, new_sysctls=new_sysctls),
    }


def _process(options: ContainerOptions) -> Process:
    capabilities = list(options.capabilities)
    # A process that is not root starts with nothing in effect, as in docker; what it may gain stays
    # in the bounding set.
    effective = capabilities if options.uid == 0 else []
    process: Process = {
        "terminal": options.terminal,
        "user": {
            "uid": options.uid,
            "gid": options.gid,
            "umask": options.umask,
            "additionalGids": list(options.groups),
        },
        "args": list(options.args),
        "env": list(options.env),
        "cwd": options.cwd,
        "capabilities": {
            "bounding": capabilities,
            "effective": effective,
            "permitted": effective,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [
            {"type": each.type, "soft": each.soft, "hard": each.hard} for each in options.rlimits
        ],
        "noNewPrivileges": options.no_new_privileges,
    }
    if options.oom_score_adj is not None:
        process["oomScoreAdj"] = options.oom_score_adj
    return process


def _namespaces(options: ContainerOptions) -> list[Namespace]:
    chosen = dict(options.namespaces)
    namespaces: list[Namespace] = []
    for kind in NAMESPACES:
        where = chosen.get(kind, "")
        if where == "host":
            continue
        namespaces.append({"type": kind, "path": where} if where else {"type": kind})
    return namespaces


def _mounts(options: ContainerOptions, id_map: IdMap, own: set[str]) -> list[Mount]:
    mounts: list[Mount] = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev", *options.proc_options),
        _mount(
            "/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=65536k"
        ),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            *(("gid=5",) if is_mapped(id_map.gids, 5) else ()),
        ),
        _mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            "nosuid",
            "noexec",
            "nodev",
            "mode=1777",
            f"size={options.shm_size_bytes}",
        ),
    ]
    if "ipc" in own:
        mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"))
    if "network" in own:
        access = "rw" if options.sys_writable else "ro"
        mounts.append(_mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access))
    else:  # sysfs belongs to a network namespace; the host's can only be shown, not mounted anew
        mounts.append(_mount("/sys", "bind", "/sys", "rbind", "nosuid", "noexec", "nodev", "rro"))
    place, safe = "/sys/fs/cgroup", ("nosuid", "noexec", "nodev")
    writable = options.cgroup_writable
    if "cgroup" in own:
        mounts.append(_mount(place, "cgroup", "cgroup", *safe, "rw" if writable else "ro"))
    else:  # the host's view of cgroups is not ours to mount anew either
        mounts.append(_mount(place, "bind", place, "rbind", *safe, "rw" if writable else "rro"))
    mounts += [_from_option(each) for each in options.devices]
    replaced = {each.target for each in options.mounts}
    mounts = [each for each in mounts if each["destination"] not in replaced]
    # A parent must be there before what is mounted inside it.
    given = sorted((*options.mounts, *options.devices), key=_depth)
    return mounts + [_from_option(each) for each in given]


def _depth(mount: OptionMount) -> int:
    return mount.target.rstrip("/").count("/")


def _mount(destination: str, kind: str, source: str, *options: str) -> Mount:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _from_option(mount: OptionMount) -> Mount:
    return _mount(mount.target, mount.type, mount.source, *mount.options)


def _linux(
    options: ContainerOptions, id_map: IdMap, namespaces: list[Namespace], *, new_sysctls: bool
) -> Linux:
    usual = _usual_sysctls(options, id_map, namespaces) if new_sysctls else {}
    masked = MASKED_PATHS if options.masked_paths is None else options.masked_paths
    read_only = READ_ONLY_PATHS if options.read_only_paths is None else options.read_only_paths
    return {
        "namespaces": namespaces,
        "uidMappings": _mappings(id_map.uids),
        "gidMappings": _mappings(id_map.gids),
        "maskedPaths": list(masked),
        "readonlyPaths": list(read_only),
        "sysctl": {**usual, **dict(options.sysctls)},
    }


def _usual_sysctls(
    options: ContainerOptions, id_map: IdMap, namespaces: list[Namespace]
) -> dict[str, str]:
    """As docker has it: in a network of its own any user may ping and listen on any port."""
    if "subset=pid" in options.proc_options:
        return {}  # that /proc has no sys to write to
    if not any(each["type"] == "network" and "path" not in each for each in namespaces):
        return {}
    last = id_map.gids[0]
    for each in id_map.gids:
        if each.inside == last.inside + last.size:
            last = each
    return {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": f"0 {last.inside + last.size - 1}",
    }


def _mappings(ranges: tuple[IdRange, ...]) -> list[IdMapping]:
    return [
        {"containerID": each.inside, "hostID": each.outside, "size": each.size} for each in ranges
    ]
