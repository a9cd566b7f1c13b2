"""Spec, Rootfs, id map and host facts to a LaunchPlan.  Pure; ``runtime.explain`` prints it."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.kernel import mount, namespace
from rootless.kernel.capability import mask_of
from rootless.kernel.landlock import EXECUTE, REFER
from rootless.runtime import operations as op
from rootless.runtime.targets import NO_LINKS, PLAIN
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.rootfs import Rootfs
    from rootless.runtime.emulation import Emulation
    from rootless.runtime.operations import Operation
    from rootless.runtime.spec import Mount, Process, Spec
    from rootless.userns.idmap import IdMap

_MOUNT_FLAGS = {
    "ro": mount.MS_RDONLY,
    "nosuid": mount.MS_NOSUID,
    "nodev": mount.MS_NODEV,
    "noexec": mount.MS_NOEXEC,
    "strictatime": mount.MS_STRICTATIME,
    "noatime": mount.MS_NOATIME,
    "nodiratime": mount.MS_NODIRATIME,
    "relatime": mount.MS_RELATIME,
    "sync": mount.MS_SYNCHRONOUS,
    "dirsync": mount.MS_DIRSYNC,
}
_ATTRIBUTES = {
    "ro": mount.MOUNT_ATTR_RDONLY,
    "rro": mount.MOUNT_ATTR_RDONLY,
    "nosuid": mount.MOUNT_ATTR_NOSUID,
    "nodev": mount.MOUNT_ATTR_NODEV,
    "noexec": mount.MOUNT_ATTR_NOEXEC,
}
_PROPAGATION = {
    "private": mount.MS_PRIVATE,
    "rprivate": mount.MS_PRIVATE | mount.MS_REC,
    "slave": mount.MS_SLAVE,
    "rslave": mount.MS_SLAVE | mount.MS_REC,
    "shared": mount.MS_SHARED,
    "rshared": mount.MS_SHARED | mount.MS_REC,
    "unbindable": mount.MS_UNBINDABLE,
    "runbindable": mount.MS_UNBINDABLE | mount.MS_REC,
}
_NEUTRAL = frozenset(
    ("rw", "bind", "rbind", "suid", "dev", "exec", "copy-up", "optional", "z", "Z", "rrw", "async")
)
# A link of the image at one of these would lead a kernel file system elsewhere (CVE-2023-27561).
_KERNEL_DIRECTORIES = ("/proc", "/sys", "/dev")
KEEP_GROUPS = "run.oci.keep_original_groups"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where everybody may go; only the container's own mounts cover it, until pivot_root takes them away.
_NEUTRAL_TARGET = "/tmp"
_LATE = namespace.CLONE_NEWCGROUP  # only after the launcher has moved us into our cgroup


class Kernel(NamedTuple):
    """What planning must know of this kernel and this user."""

    last_capability: int = 40
    landlock_rights: int = 0  # 0: do not restrict
    new_proc: bool = True  # whether a new procfs may be mounted
    new_sys: bool = True  # the same for sysfs
    new_sysctls: bool = True  # whether /proc/sys of a container can be written
    cgroup2: str | None = None  # where the unified hierarchy is mounted on the host
    fuse_program: str = "fuse-overlayfs"


class ProcessPlan(NamedTuple):
    """The last part of a launch: what is given up, and what is executed."""

    args: tuple[str, ...]
    env: dict[str, str]
    candidates: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...] | None  # None where setgroups(2) is denied
    umask: int
    terminal: bool
    rlimits: tuple[tuple[int, int, int], ...]
    bounding: int
    effective: int
    last_capability: int
    no_new_privileges: bool
    landlock: int
    landlock_untraced: int  # and this where the launcher cannot look at what is executed
    filter: bytes
    preserve_fds: int = 0
    init: bool = False


class LaunchPlan(NamedTuple):
    """Everything that a launch does, decided before the fork."""

    id_map: IdMap | None  # None where a user namespace is joined
    join: tuple[tuple[str, str], ...]  # (kind, path)
    unshare: int
    unshare_late: int
    hide: bool  # others may see the stage, so it must not be traceable
    operations: tuple[Operation, ...]
    process: ProcessPlan
    fuse: tuple[str, ...] = ()
    oom_score_adj: int | None = None
    outlive: bool = False  # the program may go on when the launcher ends
    fuse_map: IdMap | None = None  # the server's, where it is not the container's
    hold: bool = False  # the caller's files must be opened before we are root inside
    emulation: Emulation | None = None  # answers chown(2) and setuid(2) where there is one id


def plan_launch(
    spec: Spec,
    rootfs: Rootfs,
    id_map: IdMap,
    kernel: Kernel,
    *,
    filter: bytes = b"",
    landlock: str = "",
    preserve_fds: int = 0,
    init: bool = False,
    store_map: IdMap | None = None,
    emulation: Emulation | None = None,
) -> LaunchPlan:
    """How this host makes the container that ``spec`` describes.

    ``store_map`` is that of the layers' owners, where the container has another ``id_map``.
    """
    linux = spec["linux"]
    hold = store_map is not None
    join = tuple((each["type"], each["path"]) for each in linux["namespaces"] if each.get("path"))
    kinds = {each["type"] for each in linux["namespaces"] if not each.get("path")}
    unshare = 0
    for kind in kinds - {"user"}:
        unshare |= namespace.FLAGS[kind]
    return LaunchPlan(
        id_map=id_map if "user" in kinds else None,
        join=_user_first(join),
        unshare=unshare & ~_LATE,
        unshare_late=unshare & _LATE,
        # In the host's pid namespace only processes of the same user namespace could trace the stage,
        # and a new one has no others; the network helper must be able to open its /proc.
        hide=any(kind == "pid" for kind, _ in join) or not {"pid", "user"} & kinds,
        operations=plan_filesystem(
            spec, rootfs, kinds, kernel, target=_NEUTRAL_TARGET if hold else spec["root"]["path"]
        ),
        process=plan_process(
            spec["process"],
            kernel,
            groups_allowed=not id_map.is_single and not keeps_groups(spec),
            filter=filter,
            landlock=landlock,
            preserve_fds=preserve_fds,
            init=init,
            emulated=emulation is not None,
        ),
        emulation=emulation and emulation.starting_as(spec["process"]["user"]),
        fuse=fuse_arguments(rootfs, kernel.fuse_program)
        if rootfs.driver == "fuse-overlayfs"
        else (),
        oom_score_adj=spec["process"].get("oomScoreAdj"),
        fuse_map=store_map,
        hold=hold,
    )


def _landlock_rights(mode: str, kernel: Kernel) -> int:
    """What is restricted to the container's root; nothing unless it was chosen.

    Every right but EXECUTE makes open(2) up to 50 % slower, and a domain keeps ``exec`` from tracing the
    container's processes.  REFER must be named, or renames to other directories would fail.
    """
    if mode in ("", "off"):
        return 0
    return kernel.landlock_rights if mode == "full" else kernel.landlock_rights & (EXECUTE | REFER)


def _user_first(join: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Entering the user namespace gives the right to enter the others."""
    return tuple(sorted(join, key=lambda each: each[0] != "user"))


def plan_filesystem(
    spec: Spec, rootfs: Rootfs, kinds: set[str], kernel: Kernel, *, target: str
) -> tuple[Operation, ...]:
    """A mount may need a directory that an earlier one brings, so order is meaning."""
    linux = spec["linux"]
    slave = any(
        option in ("rslave", "rshared", "slave", "shared")
        for each in spec["mounts"]
        for option in each.get("options", ())
    )
    steps: list[Operation] = [
        op.SetPropagation(mount.MS_SLAVE if slave else mount.MS_PRIVATE),
        _root(rootfs, target),
    ]
    for each in spec["mounts"]:
        steps.extend(_mount(each, kernel, kinds))
        if each["destination"] == "/dev" and each["type"] == "tmpfs":
            steps.extend(_devices())
    steps.extend(op.MakeSymlink(text, name) for text, name in _LINKS)
    if spec["process"].get("terminal"):
        steps.append(op.OpenTerminal(spec["process"]["user"]["uid"]))
    if "network" in kinds:
        steps.append(op.RaiseLoopback())
    if "uts" in kinds and spec.get("hostname"):
        steps.append(op.SetHostname(spec["hostname"]))
    if "uts" in kinds and spec.get("domainname"):
        steps.append(op.SetDomainname(spec["domainname"]))
    steps.extend(op.WriteSysctl(*each) for each in linux.get("sysctl", {}).items())
    steps.append(op.MakeDirectory(spec["process"]["cwd"]))
    if spec["root"].get("readonly"):
        steps.append(op.ReadOnlyRoot())
    steps.extend(op.ReadOnlyPath(path) for path in linux.get("readonlyPaths", ()))
    steps.extend(op.MaskPath(path) for path in linux.get("maskedPaths", ()))
    steps.append(op.PivotRoot())
    return tuple(steps)


def _root(rootfs: Rootfs, target: str) -> Operation:
    match rootfs.driver:
        case "overlay":
            return op.MountOverlay(rootfs.lower, rootfs.upper, rootfs.work, rootfs.options, target)
        case "fuse-overlayfs":
            return op.MountFuse(len(rootfs.lower), target)
        case _:
            return op.BindRoot(rootfs.lower[0], target)


def fuse_arguments(rootfs: Rootfs, program: str) -> tuple[str, ...]:
    """The command that serves ``rootfs``; descriptor 3 is the mount."""
    options = [f"lowerdir={':'.join(rootfs.lower)}"]
    if rootfs.upper is not None:
        options += [f"upperdir={rootfs.upper}", f"workdir={rootfs.work}"]
    options += rootfs.options
    # libfuse takes a descriptor that is mounted already; the stage puts it on number 3.
    return (program, "-f", "-o", ",".join(options), "/dev/fd/3")


def _mount(each: Mount, kernel: Kernel, kinds: set[str]) -> list[Operation]:
    target, kind, options = each["destination"], each["type"], each.get("options", [])
    of_kernel = any(f"{target}/".startswith(f"{each}/") for each in _KERNEL_DIRECTORIES)
    resolve = NO_LINKS if of_kernel else PLAIN
    if kind == "bind":
        return _bind(each["source"], target, options, resolve)
    if kind == "overlay":
        from rootless.runtime import plan_mounts

        attributes = sum({_ATTRIBUTES.get(each, 0) for each in options})
        return plan_mounts.overlay(target, options, attributes)
    joined_pid = "pid" not in kinds and "user" in kinds
    if kind == "proc" and (joined_pid or not kernel.new_proc):
        # A new procfs needs a pid namespace of ours, and an outer /proc that nobody has masked.
        return [op.BindMount("/proc", "/proc", resolve=resolve)]
    if kind == "sysfs" and not kernel.new_sys:
        # An outer container has covered parts of its own: those stay covered in a copy of the tree.
        options = ["nosuid", "noexec", "nodev", "rro"]
        return _bind("/sys", target, options, NO_LINKS)
    if kind == "cgroup":
        own_sysfs = "network" in kinds and kernel.new_sys
        return _cgroup(target, options, kernel, below_host_sysfs=not own_sysfs)
    flags, rest = _flags(options)
    if kind == "tmpfs" and "copy-up" in options:
        return [op.CopyUpTmpfs(target, flags, rest)]
    if kind == "tmpfs" and "secrets=" in rest:
        from rootless.runtime import plan_mounts

        return [plan_mounts.secrets(target, options)]
    return [op.MountNew(kind, target, flags, rest, resolve)]


def _cgroup(
    target: str, options: list[str], kernel: Kernel, *, below_host_sysfs: bool
) -> list[Operation]:
    empty = op.MountNew("tmpfs", target, mount.MS_RDONLY | 14, "size=0,nr_inodes=1", NO_LINKS)
    if kernel.cgroup2 != "/sys/fs/cgroup":
        return [empty]  # a hybrid host: its v1 hierarchies are not ours to show
    flags, _ = _flags(options)
    hierarchy = op.MountNew("cgroup2", target, flags, resolve=NO_LINKS)
    # The host's /sys brings its cgroup2 along, and mount(2) says EBUSY to the same file system on
    # top of itself: something else must come between.
    return [empty, hierarchy] if below_host_sysfs else [hierarchy]


def _bind(source: str, target: str, options: list[str], resolve: int) -> list[Operation]:
    attributes = 0
    propagation = mount.MS_PRIVATE | mount.MS_REC
    ours: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if equals and key in ("subpath", "chown", "fresh"):
            ours[key] = value
            continue
        attributes |= _ATTRIBUTES.get(option, 0)
        propagation = _PROPAGATION.get(option, propagation)
        if option not in _ATTRIBUTES and option not in _PROPAGATION and option not in _NEUTRAL:
            raise InvalidRequest(f"unknown option {option!r} of the mount on {target}")
    plain = op.BindMount(
        source,
        target,
        attributes,
        recursive="bind" not in options,
        recursive_attributes="rro" in options,
        propagation=propagation,
        resolve=resolve,
    )
    if not ours:
        return [plain]
    from rootless.runtime import plan_mounts

    return plan_mounts.bind_part(plain, ours)


def _flags(options: list[str]) -> tuple[int, str]:
    """mount(2)'s flags, and what goes to the file system as text."""
    flags, rest = 0, []
    for option in options:
        if option in _MOUNT_FLAGS:
            flags |= _MOUNT_FLAGS[option]
        elif option not in _NEUTRAL:
            rest.append(option)
    return flags, ",".join(rest)


def _devices() -> list[Operation]:
    """mknod(2) is forbidden in a user namespace, so the host's nodes are bound one by one."""
    return [
        op.BindMount(
            f"/dev/{name}",
            f"/dev/{name}",
            mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NOEXEC,
            recursive=False,
            resolve=NO_LINKS,
        )
        for name in DEVICES
    ]


def plan_exec(
    spec: Spec,
    process: Process,
    pid: int,
    kernel: Kernel,
    *,
    groups_allowed: bool,
    filter: bytes = b"",
    landlock: str = "",
    preserve_fds: int = 0,
    emulation: Emulation | None = None,
) -> LaunchPlan:
    """How ``process`` joins the running container whose init is ``pid``."""
    join = []
    for each in spec["linux"]["namespaces"]:
        name = namespace.FILES.get(each["type"], each["type"])
        join.append((each["type"], f"/proc/{pid}/ns/{name}"))
    steps: list[Operation] = []
    if process.get("terminal"):
        steps = [op.UseRoot(), op.OpenTerminal(process["user"]["uid"], console=False)]
    return LaunchPlan(
        id_map=None,
        join=_user_first(tuple(join)),
        unshare=0,
        unshare_late=0,
        hide=True,
        operations=tuple(steps),
        process=plan_process(
            process,
            kernel,
            groups_allowed=groups_allowed,
            filter=filter,
            landlock=landlock,
            preserve_fds=preserve_fds,
            emulated=emulation is not None,
        ),
        emulation=emulation and emulation.starting_as(process["user"]),
    )


def keeps_groups(spec: Spec) -> bool:
    """``--group-add keep-groups``, written as crun has it."""
    return spec.get("annotations", {}).get(KEEP_GROUPS) == "1"


def plan_process(
    process: Process,
    kernel: Kernel,
    *,
    groups_allowed: bool,
    filter: bytes,
    landlock: str,
    preserve_fds: int = 0,
    init: bool = False,
    emulated: bool = False,
) -> ProcessPlan:
    """What the program is and what it may do; with ``emulated`` it only believes to be another than root."""
    user = process["user"]
    env = dict(each.partition("=")[::2] for each in process["env"])
    capabilities = process["capabilities"]
    bounding = mask_of(tuple(capabilities["bounding"]))
    may_mount = bool(bounding >> 21 & 1)  # CAP_SYS_ADMIN; Landlock would forbid it to mount
    return ProcessPlan(
        args=tuple(process["args"]),
        env=env,
        candidates=_candidates(process["args"][0], env.get("PATH", _DEFAULT_PATH)),
        cwd=process["cwd"],
        uid=0 if emulated else user["uid"],
        gid=0 if emulated else user["gid"],
        groups=tuple(user.get("additionalGids", ())) if groups_allowed else None,
        umask=user.get("umask", 0o022),
        terminal=process.get("terminal", False),
        rlimits=tuple(
            (_rlimit_number(each["type"]), each["soft"], each["hard"])
            for each in process.get("rlimits", ())
        ),
        bounding=bounding,
        effective=mask_of(tuple(capabilities["effective"])),
        last_capability=kernel.last_capability,
        no_new_privileges=process.get("noNewPrivileges", True),
        landlock=_landlock_rights(landlock, kernel),
        landlock_untraced=0 if landlock or may_mount else _landlock_rights("execute", kernel),
        filter=filter,
        preserve_fds=preserve_fds,
        init=init,
    )


def _candidates(program: str, path: str) -> tuple[str, ...]:
    """Where execve(2) looks, in the order of PATH; execvp(3) would need the host's files."""
    if "/" in program:
        return (program,)
    return tuple(f"{directory or '.'}/{program}" for directory in path.split(":"))


def _rlimit_number(name: str) -> int:
    import resource

    number = getattr(resource, name, None)
    if number is None:
        raise InvalidRequest(f"unknown resource limit {name}")
    return int(number)
