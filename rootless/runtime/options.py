"""ContainerOptions: everything that a container should be, before it is a runtime-spec document."""

from __future__ import annotations

from rootless.typed import NamedTuple


class Mount(NamedTuple):
    """One mount, in the words of the runtime-spec (config.md, "Mounts").

    ``type`` is ``bind``, ``tmpfs``, ``proc`` ...; ``source`` is a host path for a bind mount.
    Options beyond mount(8)'s: ``copy-up`` (tmpfs starts with what the image has there) and
    ``create`` (a missing source directory of a bind mount was made by us).
    """

    type: str
    source: str
    target: str
    options: tuple[str, ...] = ()


class Rlimit(NamedTuple):
    """A resource limit; ``type`` is ``RLIMIT_NOFILE`` and the like, -1 is unlimited."""

    type: str
    soft: int
    hard: int


# podman's default set: docker's without MKNOD, NET_RAW and AUDIT_WRITE.
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
)


class ContainerOptions(NamedTuple):
    """What to run and in which surroundings; ids are those inside the user namespace.

    ``namespaces`` overrides the kind's default: ``("network", "host")`` shares the host's,
    ``("pid", "/proc/1/ns/pid")`` joins one.  ``seccomp`` is ``default``, ``unconfined`` or the path of
    a profile, ``landlock`` is ``off``, ``execute``, ``full`` or, where nobody chose, empty; ``init`` puts
    a reaper in front of the program.  ``masked_paths`` and ``read_only_paths`` of None mean the defaults.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    umask: int = 0o022
    terminal: bool = False
    hostname: str = ""
    domainname: str = ""
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Mount, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = True
    seccomp: str = "default"
    landlock: str = ""
    masked_paths: tuple[str, ...] | None = None
    read_only_paths: tuple[str, ...] | None = None
    sysctls: tuple[tuple[str, str], ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    shm_size_bytes: int = 64 << 20
    oom_score_adj: int | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    preserve_fds: int = 0
    cgroup_writable: bool = False
    sys_writable: bool = False
    proc_options: tuple[str, ...] = ()
    init: bool = False
