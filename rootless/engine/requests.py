"""What ``run``, ``create``, ``exec`` and ``start`` are asked: one field a flag, under the flag's name.

A front end has done what needs the caller's surroundings: relative paths are absolute, ``-e NAME``,
``--env-file``, ``--label-file`` and ``--env-host`` are pairs, sizes are bytes, times are seconds.
What has a grammar of its own and a pure parser below (ports, users, ulimits, devices) stays text.

Annotations are real objects here, unlike elsewhere: typing compiles each quoted one, and with 130
fields that is half a millisecond of every ``run`` (measured).
"""

from rootless.typed import NamedTuple

Texts = tuple[str, ...]


class MountRequest(NamedTuple):
    """One of ``-v``, ``--mount``, ``--tmpfs``.

    ``type`` is ``bind``, ``volume``, ``tmpfs``, ``image``, ``devpts``, ``ramfs``, ``glob`` or ``artifact``.
    ``source`` is an absolute path, the name of a volume (empty: anonymous) or an image.
    ``options`` are words as in mount(8) - ``ro rw bind rbind rshared noexec size=1048576 mode=1777`` -
    and those of the peers: ``z Z U O upperdir= workdir= copy nocopy nocreate tmpcopyup notmpcopyup
    subpath= rro volume-opt=K=V volume-label=K=V idmap``.  ``nocreate`` (all of ``--mount``): a missing
    source is an error.
    """

    type: str
    source: str
    target: str
    options: Texts = ()


class RunRequest(NamedTuple):
    """A container to make, and how to stand by it.  ``None`` means: as the image or the host says."""

    image: str
    args: Texts = ()
    # the container's place among others
    name: str | None = None
    label: Texts = ()  # K=V
    annotation: Texts = ()  # K=V
    replace: bool = False
    rm: bool = False
    rmi: bool = False
    cidfile: str | None = None
    pidfile: str | None = None
    pod: str | None = None
    requires: Texts = ()
    create_command: Texts = ()  # the words after ``rootless run`` as they were typed
    create_directory: str | None = None  # and where
    restart: str | None = None  # no, on-failure[:N], always, unless-stopped
    # the image
    platform: str | None = None  # os/arch[/variant], also from --os, --arch and --variant
    pull: str = "missing"  # always, missing, never, newer
    authfile: str | None = None
    creds: str | None = None
    tls_verify: bool | None = None
    cert_dir: str | None = None
    decryption_key: Texts = ()
    retry: int | None = None
    retry_delay: float | None = None
    rootfs: bool = False  # ``image`` is a directory, perhaps with ":O"
    image_volume: str = "anonymous"  # anonymous, tmpfs, ignore
    # the process
    entrypoint: Texts | None = None  # () resets the image's
    env: Texts = ()  # K=V, later ones win
    env_host: Texts = ()  # K=V of the caller, weaker than the image's
    env_merge: Texts = ()  # K=V where ${K} is the image's
    http_proxy: Texts = ()  # K=V: the caller's proxy variables, weaker than the image's
    unsetenv: Texts = ()
    unsetenv_all: bool = False
    workdir: str | None = None
    user: str | None = None
    group_add: Texts = ()
    umask: int | None = None
    tz: str | None = None
    init: bool = False
    init_path: str | None = None
    personality: str | None = None
    timeout: float | None = None
    stop_signal: str | None = None
    stop_timeout: float | None = None
    systemd: str = "false"  # false, true, always
    sdnotify: str = "container"  # container, conmon, healthy, ignore
    oom_score_adj: int | None = None
    ulimit: Texts = ()
    # streams
    attach: Texts = ()  # stdin, stdout, stderr
    detach: bool = False
    detach_keys: str | None = None
    interactive: bool = False
    tty: bool = False
    sig_proxy: bool = True
    preserve_fd: tuple[int, ...] = ()
    preserve_fds: int = 0
    log_driver: str | None = None
    log_opt: Texts = ()
    # files
    volume: tuple[MountRequest, ...] = ()
    mount: tuple[MountRequest, ...] = ()
    tmpfs: tuple[MountRequest, ...] = ()
    volumes_from: Texts = ()
    device: Texts = ()
    gpus: str | None = None
    secret: Texts = ()
    shm_size: int | None = None  # bytes
    read_only: bool = False
    read_only_tmpfs: bool = True
    passwd: bool = True
    passwd_entry: str | None = None
    group_entry: str | None = None
    hostuser: Texts = ()
    chrootdirs: Texts = ()
    # network
    network: Texts = ()
    network_alias: Texts = ()
    network_rate: str | None = None
    publish: Texts = ()
    publish_all: bool = False
    expose: Texts = ()
    ip: str | None = None
    ip6: str | None = None
    mac_address: str | None = None
    add_host: Texts = ()
    dns: Texts = ()
    dns_option: Texts = ()
    dns_search: Texts = ()
    hostname: str | None = None
    domainname: str | None = None
    no_hostname: bool = False
    hosts_file: str | None = None
    no_hosts: bool = False
    # identity and namespaces
    userns: str | None = None
    uidmap: Texts = ()
    gidmap: Texts = ()
    subuidname: str | None = None
    subgidname: str | None = None
    pid: str | None = None
    ipc: str | None = None
    uts: str | None = None
    cgroupns: str | None = None
    # rights
    privileged: bool = False
    cap_add: Texts = ()
    cap_drop: Texts = ()
    security_opt: Texts = ()
    sysctl: Texts = ()
    require: str | None = None  # the weakest tier that will do
    # limits
    memory: int | None = None  # bytes
    memory_reservation: int | None = None  # bytes
    memory_swap: int | None = None  # bytes, -1: no limit
    cpus: float | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None  # -1: no limit
    blkio_weight: int | None = None
    blkio_weight_device: Texts = ()
    device_read_bps: Texts = ()
    device_read_iops: Texts = ()
    device_write_bps: Texts = ()
    device_write_iops: Texts = ()
    cgroup_conf: Texts = ()
    cgroup_parent: str | None = None
    cgroups: str = "enabled"  # enabled, disabled, no-conmon, split
    best_effort_limits: bool = False
    # health; times in seconds
    health_cmd: str | None = None
    health_interval: float | None = None
    health_timeout: float | None = None
    health_retries: int | None = None
    health_start_period: float | None = None
    health_start_interval: float | None = None
    health_on_failure: str | None = None  # none, kill, restart, stop
    health_startup_cmd: str | None = None
    health_startup_interval: float | None = None
    health_startup_retries: int | None = None
    health_startup_success: int | None = None
    health_startup_timeout: float | None = None
    health_log_destination: str | None = None
    health_max_log_count: int | None = None
    health_max_log_size: int | None = None
    no_healthcheck: bool = False


class ExecRequest(NamedTuple):
    """A further process in a running container; ``container`` None is the latest one."""

    container: str | None
    args: Texts = ()
    detach: bool = False
    detach_keys: str | None = None
    env: Texts = ()  # K=V
    interactive: bool = False
    tty: bool = False
    privileged: bool = False
    user: str | None = None
    workdir: str | None = None
    preserve_fd: tuple[int, ...] = ()
    preserve_fds: int = 0
    cidfile: str | None = None


class StartRequest(NamedTuple):
    """Containers to start."""

    containers: Texts = ()
    all: bool = False
    latest: bool = False
    filter: Texts = ()  # K=V
    attach: bool = False
    interactive: bool = False
    detach_keys: str | None = None
    sig_proxy: bool = True
