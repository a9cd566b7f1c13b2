"""Flags of ``run`` and ``create``: network, identity, rights, limits and health."""

from __future__ import annotations

from rootless.cli.options.table import Group, Option
from rootless.cli.values import (
    assignment,
    decimal,
    integer,
    natural,
    seconds,
    size,
    size_or_unlimited,
)

NETWORK = Group(
    "Network",
    (
        Option(
            "network", "MODE", "none, host, NAME[,NAME], container:NAME, ns:PATH, pasta or slirp4netns",
            many=True, aliases=("net",), complete="network",
        ),
        Option("publish", "[[IP:]HOST:]PORT[/PROTO]", "Open a port of the host", short="p", many=True),
        Option("publish-all", "", "Open a port for each that the image exposes", short="P"),
        Option("hostname", "NAME", "Its host name", short="h"),
        Option("add-host", "NAME:IP", "A line in /etc/hosts; host-gateway is this host", many=True),
        Option("dns", "IP", "A name server; none leaves resolv.conf to the image", many=True),
        Option("expose", "PORT[/PROTO]", "For --publish-all", many=True),
    ),
    (
        Option("network-alias", "NAME", "A further name on its user networks", many=True, aliases=("net-alias",)),
        Option("network-rate", "RATE", "Bits a second: 10mbit, or up=...,down=..."),
        Option("ip", "IP", "Its address on a user network"),
        Option("ip6", "IP", "Its IPv6 address on a user network"),
        Option("mac-address", "MAC", "Its hardware address"),
        Option("dns-option", "OPT", "A resolver option", many=True, aliases=("dns-opt",)),
        Option("dns-search", "DOMAIN", "A search domain", many=True),
        Option("domainname", "NAME", "Its NIS domain name"),
        Option("hosts-file", "FILE", "none, image, or a file instead of /etc/hosts", complete="file"),
        Option("no-hosts", "", "Leave /etc/hosts of the image alone"),
        Option("no-hostname", "", "Leave /etc/hostname of the image alone"),
    ),
)  # fmt: skip

IDENTITY = Group(
    "Identity and namespaces",
    (
        Option("userns", "MODE", "keep-id, auto, nomap, host, container:NAME or ns:PATH"),
        Option("pid", "MODE", "host, private, container:NAME or ns:PATH"),
    ),
    (
        Option("uidmap", "IN:OUT:COUNT", "Map user ids", many=True),
        Option("gidmap", "IN:OUT:COUNT", "Map group ids", many=True),
        Option("subuidname", "NAME", "Whose range of /etc/subuid"),
        Option("subgidname", "NAME", "Whose range of /etc/subgid"),
        Option("ipc", "MODE", "host, private, shareable, none, container:NAME or ns:PATH"),
        Option("uts", "MODE", "host, private, container:NAME or ns:PATH"),
        Option("cgroupns", "MODE", "host, private, container:NAME or ns:PATH"),
        Option("require", "TIER", "Fail rather than run with less than this"),
    ),
)

RIGHTS = Group(
    "Rights",
    (
        Option("privileged", "", "All rights inside; none more outside"),
        Option("cap-add", "NAME", "Add a capability", many=True),
        Option("cap-drop", "NAME", "Drop a capability, or all", many=True),
        Option(
            "security-opt", "OPT", "seccomp=FILE, no-new-privileges, mask=, unmask= ...", many=True
        ),
        Option("sysctl", "K=V", "A kernel setting of its own namespaces", assignment, many=True),
    ),
)

LIMITS = Group(
    "Limits",
    (
        Option("memory", "SIZE", "Memory", size, short="m"),
        Option("cpus", "N", "Processors, 0.5 is half of one", decimal),
        Option("pids-limit", "N", "Processes; -1 for no limit", integer),
    ),
    (
        Option("memory-reservation", "SIZE", "Memory that is left to it when it is short", size),
        Option("memory-swap", "SIZE", "Memory and swap; -1 for no limit", size_or_unlimited),
        Option("cpu-shares", "N", "Weight against others", natural, short="c"),
        Option("cpu-period", "MICROSECONDS", "Of the processor quota", natural),
        Option("cpu-quota", "MICROSECONDS", "In each period", integer),
        Option("cpuset-cpus", "LIST", "Only these processors: 0-2,7"),
        Option("cpuset-mems", "LIST", "Only these memory nodes"),
        Option("blkio-weight", "N", "Weight of its input and output, 10 to 1000", natural),
        Option("blkio-weight-device", "DEV:N", "The same for one device", many=True),
        Option("device-read-bps", "DEV:RATE", "Bytes a second read from a device", many=True),
        Option("device-write-bps", "DEV:RATE", "Bytes a second written to a device", many=True),
        Option("device-read-iops", "DEV:N", "Reads a second from a device", many=True),
        Option("device-write-iops", "DEV:N", "Writes a second to a device", many=True),
        Option("cgroup-conf", "FILE=VALUE", "Write to a file of its cgroup", assignment, many=True),
        Option("cgroup-parent", "PATH", "Under this cgroup"),
        Option("cgroups", "MODE", "enabled, disabled, no-conmon or split",
               choices=("enabled", "disabled", "no-conmon", "split")),
        Option("best-effort-limits", "", "Take the next best where a limit cannot be enforced"),
    ),
)  # fmt: skip

HEALTH = Group(
    "Health",
    (
        Option("health-cmd", "COMMAND", "Check with this, or none"),
        Option("health-interval", "TIME", "Between checks", seconds, default="30s"),
        Option("health-retries", "N", "Failures until it is unhealthy", natural, default="3"),
        Option("health-timeout", "TIME", "A check that takes longer has failed", seconds, default="30s"),
    ),
    (
        Option("health-start-period", "TIME", "Failures do not count at first", seconds),
        Option("health-start-interval", "TIME", "Between checks at first", seconds),
        Option("health-on-failure", "ACTION", "When unhealthy",
               choices=("none", "kill", "restart", "stop")),
        Option("no-healthcheck", "", "Not even the image's"),
        Option("health-startup-cmd", "COMMAND", "Check with this until it has succeeded"),
        Option("health-startup-interval", "TIME", "Between those checks", seconds),
        Option("health-startup-retries", "N", "Failures until it is restarted", natural),
        Option("health-startup-success", "N", "Successes that are needed", natural),
        Option("health-startup-timeout", "TIME", "As --health-timeout", seconds),
        Option("health-log-destination", "DIR", "Where results are kept"),
        Option("health-max-log-count", "N", "How many results", natural),
        Option("health-max-log-size", "N", "How long a result", natural),
    ),
)  # fmt: skip

OTHERS = Group(
    "Known from others",
    (),
    (
        Option("pod", "NAME", refused="there are no pods; --network container:NAME shares a network"),
        Option("pod-id-file", "FILE", refused="there are no pods"),
        Option("link", "NAME", refused="use a network of yours: containers on it find each other by name", many=True),
        Option("device-cgroup-rule", "RULE", refused="only root may load device rules into the kernel; --device shows a device", many=True),
        Option("decryption-key", "KEY", refused="encrypted images cannot be read", many=True),
        Option("storage-opt", "K=V", refused="a quota for the writable layer needs root", many=True),
        Option("rdt-class", "NAME", refused="/sys/fs/resctrl belongs to root"),
        Option("memory-swappiness", "N", refused="cgroup v2 has no such limit"),
        Option("oom-kill-disable", refused="cgroup v2 has no such limit"),
        Option("kernel-memory", "SIZE", refused="cgroup v2 has no such limit; --memory counts it"),
        Option("conmon-pidfile", "FILE", refused="there is no conmon; --pidfile names the container's process"),
        Option("shm-size-systemd", "SIZE", refused="use --tmpfs /run:size=SIZE"),
        Option("cpu-rt-period", "N", ignored="cgroup v2 has no such limit"),
        Option("cpu-rt-runtime", "N", ignored="cgroup v2 has no such limit"),
        Option("disable-content-trust", ignored="signatures are checked by policy.json"),
        Option("link-local-ip", "IP", ignored="as in docker", many=True),
        Option("isolation", "MODE", ignored="means something on Windows only", choices=("default",)),
        Option("volume-driver", "NAME", ignored="there is one", choices=("local",)),
        Option("runtime", "NAME", ignored="there is one, built in", choices=("rootless", "crun", "runc")),
        Option("seccomp-policy", "MODE", ignored="there is one", choices=("default",)),
    ),
)  # fmt: skip
