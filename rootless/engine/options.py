"""RunRequest and an image's config, merged into ContainerOptions.  Pure.

What each flag becomes is in one place; a flag that nothing here knows is refused, never ignored.
"""

from __future__ import annotations

from rootless.engine.requests import RunRequest
from rootless.errors import InvalidRequest, Unsupported
from rootless.runtime.options import CAPABILITIES, ContainerOptions, Mount
from rootless.runtime.plan import KEEP_GROUPS
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.documents import ContainerConfig
    from rootless.runtime.options import Mount
    from rootless.runtime.users import User

CONFINING = ("privileged", "cap_add", "cap_drop", "security_opt", "sysctl", "ulimit", "device")
LIMITING = (
    *("memory", "memory_reservation", "memory_swap", "cpus", "cpu_shares", "cpu_period"),
    *("cpu_quota", "cpuset_cpus", "cpuset_mems", "pids_limit", "blkio_weight"),
    *("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"),
    "cgroup_conf",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Flags that the engine acts on, here or elsewhere.  Any other that was given is refused by name.
_HANDLED = {
    *LIMITING,
    *("cgroup_parent", "cgroups", "best_effort_limits"),
    *("image", "args", "name", "label", "annotation", "replace", "rm", "rmi", "cidfile"),
    *("pidfile", "platform", "pull", "authfile", "creds", "tls_verify", "cert_dir", "retry"),
    *("retry_delay", "entrypoint", "env", "env_host", "env_merge", "http_proxy", "unsetenv"),
    *("unsetenv_all", "workdir", "user", "group_add", "umask", "interactive", "tty", "detach"),
    *("sig_proxy", "attach", "read_only", "volume", "mount", "tmpfs", "network", "hostname"),
    *("volumes_from", "secret", "create_command", "create_directory"),
    *("no_hosts", "dns", "dns_option", "dns_search", "add_host", "stop_signal", "stop_timeout"),
    *("shm_size", "domainname", "preserve_fds", "oom_score_adj", "publish", "publish_all"),
    *("network_alias", "ip", "ip6", "mac_address", "hosts_file", "network_rate"),
    *("expose", "cap_add", "cap_drop", "security_opt", "privileged", "sysctl", "ulimit"),
    *("device", "tz", "pid", "ipc", "uts", "cgroupns", "read_only_tmpfs", "init", "log_driver"),
    *("log_opt", "restart", "timeout", "detach_keys", "health_cmd", "health_interval"),
    *("health_timeout", "health_retries", "health_start_period", "health_start_interval"),
    *("require", "userns", "uidmap", "gidmap", "subuidname", "subgidname"),
    *("health_on_failure", "no_healthcheck", "image_volume", "systemd", "sdnotify"),
}


def check_supported(request: RunRequest) -> None:
    """Raise Unsupported for a flag that would be ignored."""
    default = RunRequest(image=request.image)
    for field, given, usual in zip(RunRequest._fields, request, default, strict=True):
        if given != usual and field not in _HANDLED:
            raise Unsupported(f"--{field.replace('_', '-')} is not supported")


def is_supported(field: str) -> bool:
    """Whether the engine acts on that field of a RunRequest."""
    return field in _HANDLED


def command(request: RunRequest, config: ContainerConfig) -> tuple[str, ...]:
    """ENTRYPOINT and CMD with what was given instead; an ENTRYPOINT given drops the image's CMD."""
    entrypoint = tuple(config.get("Entrypoint") or ())
    cmd = tuple(config.get("Cmd") or ())
    if request.entrypoint is not None:
        entrypoint, cmd = tuple(request.entrypoint), ()
    args = entrypoint + (tuple(request.args) or cmd)
    if not args:
        raise InvalidRequest(
            f"image {request.image} names no command and none was given",
            hint=f"rootless run {request.image} COMMAND",
        )
    return args


def environment(
    request: RunRequest, config: ContainerConfig, user: User, hostname: str
) -> tuple[str, ...]:
    """Weakest first: our defaults, the caller's where asked for, the image's, what was given."""
    variables = {"PATH": PATH, "container": "rootless", "HOSTNAME": hostname}
    if request.tty:
        variables["TERM"] = "xterm"
    image = () if request.unsetenv_all else tuple(config.get("Env") or ())
    for group in (request.http_proxy, request.env_host, image):
        variables.update(_pairs(group))
    variables.update(_merged(request.env_merge, dict(_pairs(image))))
    variables.update(_pairs(request.env))
    variables.setdefault("HOME", user.home)
    for name in request.unsetenv:
        variables.pop(name, None)
    return tuple(f"{name}={value}" for name, value in variables.items())


def _merged(pairs: tuple[str, ...], of_image: dict[str, str]) -> dict[str, str]:
    """``--env-merge``: ${NAME} is what the image says, and nothing where it says nothing."""
    merged = {}
    for name, value in _pairs(pairs):
        head, *parts = value.split("${")
        for part in parts:
            inner, brace, rest = part.partition("}")
            head += of_image.get(inner, "") + rest if brace else "${" + part
        merged[name] = head
    return merged


def container_options(
    request: RunRequest,
    config: ContainerConfig,
    *,
    user: User,
    container_id: str,
    mounts: tuple[Mount, ...],
    namespaces: dict[str, str],
) -> ContainerOptions:
    """Everything that the container should be.  Raises InvalidRequest."""
    hostname = request.hostname or container_id[:12]
    return ContainerOptions(
        args=command(request, config),
        env=environment(request, config, user, hostname),
        cwd=_working_directory(request, config),
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        umask=0o022 if request.umask is None else request.umask,
        terminal=request.tty,
        hostname=hostname,
        domainname=request.domainname or "",
        read_only=request.read_only,
        mounts=mounts,
        namespaces=tuple(namespaces.items()),
        capabilities=CAPABILITIES,
        shm_size_bytes=64 << 20 if request.shm_size is None else request.shm_size,
        oom_score_adj=request.oom_score_adj,
        annotations=_annotations(request),
        preserve_fds=request.preserve_fds,
        init=request.init,
    )


def _annotations(request: RunRequest) -> tuple[tuple[str, str], ...]:
    keep = ((KEEP_GROUPS, "1"),) if "keep-groups" in request.group_add else ()
    return (*_pairs(request.annotation), *keep)


def _working_directory(request: RunRequest, config: ContainerConfig) -> str:
    directory = request.workdir or config.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        if request.workdir:
            raise InvalidRequest(f"working directory {directory!r} is not an absolute path")
        directory = f"/{directory}"
    return directory


def labels(request: RunRequest, config: ContainerConfig) -> dict[str, str]:
    """The image's labels and the given ones, which win."""
    return {**(config.get("Labels") or {}), **dict(_pairs(request.label))}


def _pairs(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, _, value in (text.partition("=") for text in texts))
