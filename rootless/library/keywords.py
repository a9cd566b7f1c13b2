"""The flags of commands as keywords of the library's functions.  Written by scripts/reference.

A name ends with an underscore where Python keeps the word for itself.
"""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    Text = str | int | float | PathLike[str]
    Texts = Text | Sequence[Text] | Mapping[str, Text]


class RunOptions(TypedDict, total=False):
    """Flags of ``run``."""

    name: Text
    restart: Text
    label: Texts
    cidfile: Text
    replace: bool
    label_file: Texts
    annotation: Texts
    pidfile: Text
    requires: Texts
    rmi: bool
    sig_proxy: bool
    log_driver: Text
    log_opt: Texts
    env: Texts
    env_file: Texts
    workdir: Text
    user: Text
    entrypoint: Text
    group_add: Texts
    init: bool
    stop_signal: Text
    stop_timeout: Text
    ulimit: Texts
    env_host: bool
    env_merge: Texts
    unsetenv: Texts
    unsetenv_all: bool
    http_proxy: bool
    umask: Text
    tz: Text
    init_path: Text
    oom_score_adj: Text
    personality: Text
    systemd: Text
    sdnotify: Text
    volume: Texts
    mount: Texts
    tmpfs: Texts
    device: Texts
    read_only: bool
    shm_size: Text
    volumes_from: Texts
    read_only_tmpfs: bool
    secret: Texts
    gpus: Text
    passwd: bool
    passwd_entry: Text
    group_entry: Text
    hostuser: Texts
    chrootdirs: Texts
    pull: Text
    platform: Text
    os: Text
    arch: Text
    variant: Text
    rootfs: bool
    image_volume: Text
    creds: Text
    authfile: Text
    tls_verify: bool
    cert_dir: Text
    retry: Text
    retry_delay: Text
    file: Text
    network: Texts
    publish: Texts
    publish_all: bool
    hostname: Text
    add_host: Texts
    dns: Texts
    expose: Texts
    network_alias: Texts
    network_rate: Text
    ip: Text
    ip6: Text
    mac_address: Text
    dns_option: Texts
    dns_search: Texts
    domainname: Text
    hosts_file: Text
    no_hosts: bool
    no_hostname: bool
    userns: Text
    pid: Text
    uidmap: Texts
    gidmap: Texts
    subuidname: Text
    subgidname: Text
    ipc: Text
    uts: Text
    cgroupns: Text
    require: Text
    privileged: bool
    cap_add: Texts
    cap_drop: Texts
    security_opt: Texts
    sysctl: Texts
    memory: Text
    cpus: Text
    pids_limit: Text
    memory_reservation: Text
    memory_swap: Text
    cpu_shares: Text
    cpu_period: Text
    cpu_quota: Text
    cpuset_cpus: Text
    cpuset_mems: Text
    blkio_weight: Text
    blkio_weight_device: Texts
    device_read_bps: Texts
    device_write_bps: Texts
    device_read_iops: Texts
    device_write_iops: Texts
    cgroup_conf: Texts
    cgroup_parent: Text
    cgroups: Text
    best_effort_limits: bool
    health_cmd: Text
    health_interval: Text
    health_retries: Text
    health_timeout: Text
    health_start_period: Text
    health_start_interval: Text
    health_on_failure: Text
    no_healthcheck: bool
    health_startup_cmd: Text
    health_startup_interval: Text
    health_startup_retries: Text
    health_startup_success: Text
    health_startup_timeout: Text
    health_log_destination: Text
    health_max_log_count: Text
    health_max_log_size: Text


class ExecOptions(TypedDict, total=False):
    """Flags of ``exec``."""

    env: Texts
    env_file: Texts
    workdir: Text
    user: Text
    privileged: bool
    cidfile: Text


class BuildOptions(TypedDict, total=False):
    """Flags of ``build``."""

    file: Text
    tag: Texts
    target: Text
    build_arg: Texts
    label: Texts
    platform: Texts
    format: Text
    build_arg_file: Texts
    build_context: Texts
    from_: Text
    ignorefile: Text
    annotation: Texts
    env: Texts
    unsetenv: Texts
    unsetlabel: Texts
    squash: bool
    squash_all: bool
    timestamp: Text
    compression_format: Text
    os: Text
    arch: Text
    variant: Text
    manifest: Text
    no_cache: bool
    no_cache_filter: Texts
    cache_from: Texts
    cache_to: Texts
    pull: Text | bool
    cache_ttl: Text
    secret: Texts
    ssh: Texts
    network: Text
    volume: Texts
    add_host: Texts
    dns: Texts
    dns_option: Texts
    dns_search: Texts
    http_proxy: bool
    cap_add: Texts
    cap_drop: Texts
    device: Texts
    security_opt: Texts
    ulimit: Texts
    shm_size: Text
    memory: Text
    memory_swap: Text
    cpu_period: Text
    cpu_quota: Text
    cpu_shares: Text
    cpuset_cpus: Text
    cpuset_mems: Text
    allow: Texts
    userns: Text
    require: Text
    output: Texts
    iidfile: Text
    metadata_file: Text
    push: bool
    jobs: Text
    check: bool
    on_error: Text
    call: Text
    creds: Text
    authfile: Text
    tls_verify: bool
    cert_dir: Text
    retry: Text
    retry_delay: Text


class PullOptions(TypedDict, total=False):
    """Flags of ``pull``."""

    all_tags: bool
    platform: Text
    os: Text
    arch: Text
    variant: Text
    policy: Text
    signature_policy: Text
    creds: Text
    authfile: Text
    tls_verify: bool
    cert_dir: Text
    retry: Text
    retry_delay: Text
