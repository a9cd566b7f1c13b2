"""``inspect``: a container in the words of docker's API, and what we know beyond them."""

from __future__ import annotations

import os

from rootless.engine.containers import bury_the_dead
from rootless.errors import NotFound, RootlessError
from rootless.network.ports import PortMapping
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine
    from rootless.runtime.container import Container, State
    from rootless.runtime.spec import Spec

_NEVER = "0001-01-01T00:00:00Z"
_CPU_PERIOD_US = 100_000


def inspect_container(engine: Engine, name: str, *, size: bool = False) -> dict[str, Any]:
    """Everything about a container.  Raises NotFound."""
    bury_the_dead(engine)
    container = store.find(engine.paths, name)
    record, state, spec = container.record, container.state(), container.spec()
    launch, args = record["launch"], record["args"]
    document = {
        "Id": record["id"],
        "Created": record["created"],
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": _state(container, state),
        "Image": record["image_id"],
        "ImageName": record["image"],
        "ResolvConfPath": f"{container.bundle}/resolv.conf",
        "HostnamePath": f"{container.bundle}/hostname",
        "HostsPath": f"{container.bundle}/hosts",
        "LogPath": f"{container.bundle}/log",
        "OCIConfigPath": f"{container.bundle}/config.json",
        "Name": f"/{record['name']}",
        "RestartCount": (record.get("last") or {}).get("restarts", 0),
        "Driver": record["backends"]["storage"],
        "Platform": "linux",
        "ExecIDs": None,
        "HostConfig": _host_config(container, spec),
        "GraphDriver": _graph_driver(launch["rootfs"]),
        "Mounts": mounts(container),
        "Config": _config(engine, container, spec),
        "NetworkSettings": network_settings(container, state),
        "Backends": record["backends"],
        "Limits": _limits(container, state),
    }
    if size:
        from rootless.engine.sizes import sizes

        found = sizes(engine, (container,))[container.id]
        document["SizeRw"], document["SizeRootFs"] = found.written, found.total
    return document


def _state(container: Container, state: State | None) -> dict[str, Any]:
    last = container.record.get("last") or {}
    running = state or {}
    status = container.status_in(state)
    document = {
        "Status": status,
        "Running": status in ("running", "paused"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": bool(last.get("oom_killed")) and state is None,
        "Dead": False,
        "Pid": running.get("pid", 0),
        "ConmonPid": running.get("monitor", 0),  # podman's word for whoever stands by
        "ExitCode": last.get("exit_code", 0) if state is None else 0,
        "Error": last.get("error", "") if state is None else "",
        "StartedAt": running.get("started") or last.get("started") or _NEVER,
        "FinishedAt": last.get("finished") or _NEVER,
        "CgroupPath": running.get("cgroup", ""),
    }
    if running.get("health"):
        document["Health"] = running["health"]
    return document


def mounts(container: Container) -> list[dict[str, Any]]:
    """What is mounted by request, as docker lists it."""
    return container.record.get("mounts", [])


def _config(engine: Engine, container: Container, spec: Spec) -> dict[str, Any]:
    settings, process = container.record["settings"], spec["process"]
    of_image = _image_config(engine, container)
    entrypoint = settings.get("entrypoint", of_image.get("Entrypoint"))
    command = settings.get("args") or (None if "entrypoint" in settings else of_image.get("Cmd"))
    document = {
        "Hostname": spec.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": settings.get("user") or of_image.get("User", ""),
        "AttachStdin": "stdin" in settings.get("attach", ()),
        "AttachStdout": not settings.get("detach", False),
        "AttachStderr": not settings.get("detach", False),
        "Tty": process.get("terminal", False),
        "OpenStdin": bool(settings.get("interactive")),
        "StdinOnce": False,
        "Env": process["env"],
        "Cmd": list(command) if command else None,
        "Image": container.record["image"],
        "Volumes": of_image.get("Volumes"),
        "WorkingDir": process["cwd"],
        "Entrypoint": list(entrypoint) if entrypoint else None,
        "OnBuild": of_image.get("OnBuild"),
        "Labels": container.record["labels"],
        "Annotations": spec.get("annotations", {}),
        "StopSignal": container.record["stop_signal"],
        "StopTimeout": container.record["stop_timeout"],
        "ExposedPorts": {
            **of_image.get("ExposedPorts", {}),
            **{each: {} for each in ports(container)},
        },
        "Umask": f"{process['user'].get('umask', 0o022):04o}",
        "Timeout": settings.get("timeout", 0),
        "Secrets": [_secret(each) for each in container.record["launch"].get("secrets", ())],
    }
    if of_image.get("Healthcheck") or settings.get("health_cmd"):
        document["Healthcheck"] = healthcheck(container) or of_image.get("Healthcheck")
    return document


def healthcheck(container: Container) -> dict[str, Any] | None:
    """What is checked and when, in docker's words and nanoseconds; None without a check."""
    options = container.record.get("health")
    if options is None:
        return None
    test = list(options["test"])
    shell = test[:2] == ["/bin/sh", "-c"] and len(test) == 3
    times = {
        name: round(options[f"{key}_s"] * 1_000_000_000)
        for name, key in (
            ("Interval", "interval"),
            ("Timeout", "timeout"),
            ("StartPeriod", "start_period"),
            ("StartInterval", "start_interval"),
        )
    }
    words = ["CMD-SHELL", test[2]] if shell else ["CMD", *test]
    return {"Test": words, **times, "Retries": options["retries"]}


def _secret(described: dict[str, Any]) -> dict[str, Any]:
    """Which secret it is, not what it says."""
    return {key: value for key, value in described.items() if key != "File"}


def _image_config(engine: Engine, container: Container) -> dict[str, Any]:
    """The config of its image, if that is still stored."""
    try:
        return dict(engine.layout.resolve(container.record["image_id"]).container_config)
    except (NotFound, RootlessError):
        return {}


def _host_config(container: Container, spec: Spec) -> dict[str, Any]:
    """docker's HostConfig: what was asked of the host."""
    settings, process, linux = container.record["settings"], spec["process"], spec["linux"]
    policy, _, retries = str(settings.get("restart") or "no").partition(":")
    mode = container.record["launch"]["network"][0]
    return {
        "Binds": [
            f"{m.get('Name') or m['Source']}:{m['Destination']}:{m['Mode'] or 'rw'}"
            for m in mounts(container)
            if m["Type"] in ("bind", "volume")
        ],
        "Tmpfs": {m["Destination"]: m["Mode"] for m in mounts(container) if m["Type"] == "tmpfs"},
        "ContainerIDFile": settings.get("cidfile") or "",
        "LogConfig": {
            "Type": settings.get("log_driver") or "k8s-file",
            "Config": dict(each.partition("=")[::2] for each in settings.get("log_opt", ())),
        },
        "NetworkMode": mode,
        "PortBindings": ports(container),
        "PublishAllPorts": bool(settings.get("publish_all")),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(retries or 0)},
        "AutoRemove": container.record["auto_remove"],
        "VolumesFrom": list(settings.get("volumes_from", ())) or None,
        "CapAdd": list(settings.get("cap_add", ())),
        "CapDrop": list(settings.get("cap_drop", ())),
        "EffectiveCaps": process["capabilities"].get("effective", []),
        "BoundingCaps": process["capabilities"].get("bounding", []),
        "Dns": list(settings.get("dns", ())),
        "DnsOptions": list(settings.get("dns_option", ())),
        "DnsSearch": list(settings.get("dns_search", ())),
        "ExtraHosts": list(settings.get("add_host", ())),
        "GroupAdd": list(settings.get("group_add", ())),
        "CgroupnsMode": settings.get("cgroupns") or "private",
        "IpcMode": settings.get("ipc") or "private",
        "PidMode": settings.get("pid") or "private",
        "UTSMode": settings.get("uts") or "private",
        "UsernsMode": settings.get("userns") or "",
        "IDMappings": {
            "UidMap": [_mapping(each) for each in linux.get("uidMappings", [])],
            "GidMap": [_mapping(each) for each in linux.get("gidMappings", [])],
        },
        "OomScoreAdj": settings.get("oom_score_adj") or 0,
        "Privileged": bool(settings.get("privileged")),
        "ReadonlyRootfs": spec["root"].get("readonly", False),
        "SecurityOpt": list(settings.get("security_opt", ())),
        "ShmSize": settings.get("shm_size") or 64 << 20,
        "Sysctls": linux.get("sysctl", {}),
        "Runtime": "rootless",
        "Init": bool(settings.get("init")),
        "Devices": list(settings.get("device", ())),
        "Ulimits": [
            {"Name": each["type"], "Soft": each["soft"], "Hard": each["hard"]}
            for each in process.get("rlimits", [])
        ],
        "MaskedPaths": linux.get("maskedPaths", []),
        "ReadonlyPaths": linux.get("readonlyPaths", []),
        **_resources(settings),
    }


def _mapping(mapping: Any) -> str:
    return f"{mapping['containerID']}:{mapping['hostID']}:{mapping['size']}"


def _resources(settings: dict[str, Any]) -> dict[str, Any]:
    """The limits that were asked for."""
    return {
        "Memory": settings.get("memory") or 0,
        "MemoryReservation": settings.get("memory_reservation") or 0,
        "MemorySwap": settings.get("memory_swap") or 0,
        "NanoCpus": int((settings.get("cpus") or 0) * 1e9),
        "CpuShares": settings.get("cpu_shares") or 0,
        "CpuPeriod": settings.get("cpu_period") or (_CPU_PERIOD_US if settings.get("cpus") else 0),
        "CpuQuota": settings.get("cpu_quota") or int((settings.get("cpus") or 0) * _CPU_PERIOD_US),
        "CpusetCpus": settings.get("cpuset_cpus") or "",
        "CpusetMems": settings.get("cpuset_mems") or "",
        "PidsLimit": settings.get("pids_limit") or 0,
        "BlkioWeight": settings.get("blkio_weight") or 0,
        "CgroupParent": settings.get("cgroup_parent") or "",
    }


def ports(container: Container) -> dict[str, list[dict[str, str]]]:
    """``80/tcp`` to where it is published."""
    found: dict[str, list[dict[str, str]]] = {}
    for each in container.record["launch"]["network"][1]:
        port = PortMapping(*each)
        place = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
        found.setdefault(f"{port.container_port}/{port.protocol}", []).append(place)
    return found


def published_ports(engine: Engine, name: str) -> dict[str, list[dict[str, str]]]:
    """The same by the name of the container.  Raises NotFound."""
    return ports(store.find(engine.paths, name))


def network_settings(container: Container, state: State | None) -> dict[str, Any]:
    """docker's NetworkSettings; addresses are there while it runs."""
    attachment: dict[str, Any] = (state or {}).get("network") or {}
    places = attachment.get("places") or ()
    return {
        "Bridge": "",
        "SandboxID": "",
        "EndpointID": "",
        "HairpinMode": False,
        "SandboxKey": f"/proc/{state['pid']}/ns/net" if state and "pid" in state else "",
        "Ports": ports(container),
        "Gateway": attachment.get("gateway") or "",
        "IPAddress": attachment.get("address") or "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": attachment.get("address6") or "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": attachment.get("mac_address") or "",
        "Backend": attachment.get("backend") or container.record["backends"].get("network", ""),
        "HelperPid": attachment.get("helper_pid") or 0,
        "Broken": attachment.get("broken") or "",
        "Networks": {place["network"]: _on_network(place) for place in places},
    }


def _on_network(place: dict[str, Any]) -> dict[str, Any]:
    four = next((each for each in place["addresses"] if ":" not in each[0]), ("", 0))
    six = next((each for each in place["addresses"] if ":" in each[0]), ("", 0))
    gateways = place["gateways"]
    return {
        "NetworkID": place["network"],
        "IPAddress": four[0],
        "IPPrefixLen": four[1],
        "Gateway": next((each for each in gateways if ":" not in each), ""),
        "GlobalIPv6Address": six[0],
        "GlobalIPv6PrefixLen": six[1],
        "IPv6Gateway": next((each for each in gateways if ":" in each), ""),
        "MacAddress": place["mac_address"],
        "Aliases": list(place["aliases"]),
        "Interface": place["interface"],
    }


def _graph_driver(rootfs: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": rootfs["driver"],
        "Data": {
            "LowerDir": ":".join(rootfs["lower"]),
            "UpperDir": rootfs.get("upper") or "",
            "WorkDir": rootfs.get("work") or "",
        },
    }


def _limits(container: Container, state: State | None) -> list[dict[str, str]]:
    """Each limit that was asked for, by the file of the cgroup that enforces it."""
    limits = container.record["launch"].get("limits", ())
    if not limits:
        return []
    path = (state or {}).get("cgroup")
    label = _label if container.record["settings"].get("best_effort_limits") else None
    return [
        {"File": file, "Value": value, "Flag": flag, "Status": _status(file, value, path, label)}
        for file, value, flag in limits
    ]


def _status(
    file: str, value: str, path: str | None, label: Callable[[str, str], str] | None
) -> str:
    """How a limit holds: by the file of the cgroup, by something else, or not yet."""
    if path and os.path.exists(f"{path}/{file}"):
        return "enforced"
    return label(file, value) if label else "when it runs"


def _label(file: str, value: str) -> str:
    from rootless.runtime.best_effort import substitute
    from rootless.runtime.cgroup import Limit

    return substitute(Limit(file, value, "")).label
