"""Flags of ``run`` and ``create``: the container, its image, its process, its streams and its files."""

from __future__ import annotations

from rootless.cli.options.table import Group, Option
from rootless.cli.values import (
    assignment,
    integer,
    natural,
    octal,
    pair,
    seconds,
    size,
    variable,
    words,
)
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.requests import MountRequest

PULL = ("always", "missing", "never", "newer")


def _volume(text: str) -> MountRequest:
    """``-v``: ``[SOURCE:]TARGET[:OPTIONS]``."""
    from rootless.cli.mounts import parse_volume

    return parse_volume(text)


def _mount(text: str) -> MountRequest:
    """``--mount``: ``type=bind,source=/a,target=/b,readonly``."""
    from rootless.cli.mounts import parse_mount

    return parse_mount(text)


def _tmpfs(text: str) -> MountRequest:
    """``--tmpfs``: ``TARGET[:OPTIONS]``."""
    from rootless.cli.mounts import parse_tmpfs

    return parse_tmpfs(text)


CONTAINER = Group(
    "Container",
    (
        Option("name", "NAME", "Its name; a random one otherwise"),
        Option("rm", "", "Remove it when it ends"),
        Option("restart", "POLICY", "no, on-failure[:N], always or unless-stopped", default="no"),
        Option("label", "K=V", "Attach a label", pair, short="l", many=True),
        Option("cidfile", "FILE", "Write its id to a file", complete="file"),
    ),
    (
        Option("replace", "", "Take the place of a container of the same name"),
        Option("label-file", "FILE", "Read labels from a file", many=True, complete="file"),
        Option("annotation", "K=V", "Attach an OCI annotation", assignment, many=True),
        Option("pidfile", "FILE", "Write the pid of its first process to a file", complete="file"),
        Option("requires", "NAME", "Start these containers first", many=True, complete="container"),
        Option("timeout", "SECONDS", "Stop it after this time", seconds),
        Option("rmi", "", "Also remove the image when it ends, unless others use it"),
    ),
)

IMAGE = Group(
    "Image",
    (
        Option("pull", "POLICY", "always, missing, never or newer", choices=PULL, default="missing"),
        Option("platform", "OS/ARCH", "Which variant of the image"),
        Option("quiet", "", "No progress on standard error", short="q"),
    ),
    (
        Option("os", "OS", "As in --platform"),
        Option("arch", "ARCH", "As in --platform"),
        Option("variant", "VARIANT", "As in --platform"),
        Option("rootfs", "", "The image is a directory; :O after it keeps it unchanged"),
        Option(
            "image-volume", "MODE", "What to do with volumes that the image declares",
            choices=("anonymous", "bind", "tmpfs", "ignore"), aliases=("builtin-volume",),
        ),
        Option("creds", "USER[:PASS]", "Credentials for the registry"),
        Option("authfile", "FILE", "Credentials from this file", complete="file"),
        Option("tls-verify", "", "Check the registry's certificate", default="true"),
        Option("cert-dir", "DIR", "Certificates for the registry", complete="directory"),
        Option("retry", "N", "Tries before a pull is given up", natural),
        Option("retry-delay", "TIME", "Wait between tries", seconds),
    ),
)  # fmt: skip

PROCESS = Group(
    "Process",
    (
        Option("env", "K=V|K", "Set a variable; K alone takes yours", variable, short="e", many=True),
        Option("env-file", "FILE", "Read variables from a file", many=True, complete="file"),
        Option("workdir", "DIR", "Start in this directory", short="w"),
        Option("user", "NAME[:GROUP]", "Run as this user of the image", short="u"),
        Option("entrypoint", "WORD|JSON", "Instead of the image's entrypoint", words),
        Option("group-add", "GROUP", "A further group; keep-groups keeps yours", many=True),
        Option("init", "", "A first process that reaps children and passes signals on"),
        Option("stop-signal", "SIGNAL", "What stop sends", default="TERM"),
        Option("stop-timeout", "SECONDS", "How long stop waits", seconds, default="10"),
        Option("ulimit", "TYPE=SOFT[:HARD]", "A resource limit of the process", many=True),
    ),
    (
        Option("env-host", "", "Begin with all of your variables"),
        Option("env-merge", "K=V", "Set a variable; ${K} in V is the image's", assignment, many=True),
        Option("unsetenv", "K", "Remove a variable of the image", many=True),
        Option("unsetenv-all", "", "Remove all variables of the image"),
        Option("http-proxy", "", "Pass your proxy variables on"),
        Option("umask", "MODE", "File mode mask", octal, default="0022"),
        Option("tz", "ZONE", "Time zone, or local"),
        Option("init-path", "FILE", "The program that --init runs", complete="file"),
        Option("oom-score-adj", "N", "How readily it is killed when memory is short", integer),
        Option("personality", "NAME", "Execution domain: LINUX32 ..."),
        Option("systemd", "MODE", "Prepare for systemd as pid 1", choices=("true", "false", "always"), default="false"),
        Option("sdnotify", "MODE", "Who tells systemd that it is ready", choices=("container", "conmon", "healthy", "ignore")),
    ),
)  # fmt: skip

STREAMS = Group(
    "Terminal and streams",
    (
        Option("interactive", "", "Keep standard input open", short="i"),
        Option("tty", "", "Give it a terminal", short="t"),
        Option("attach", "STREAM", "Only these: stdin, stdout, stderr", short="a", many=True),
    ),
    (
        Option("log-driver", "NAME", "json-file, k8s-file, journald or none"),
        Option("log-opt", "K=V", "max-size, max-file, path, tag", assignment, many=True),
        Option("preserve-fd", "FD", "Pass this descriptor", integer, many=True),
        Option("preserve-fds", "N", "Pass N descriptors from 3 on", natural),
    ),
)

DETACHING = Group(
    "Terminal and streams",
    (
        Option("detach", "", "Run in the background and print the id", short="d"),
        *STREAMS.options,
        Option("sig-proxy", "", "Pass signals on", default="true"),
    ),
    (Option("detach-keys", "KEYS", "What detaches a terminal"), *STREAMS.further),
)

FILES = Group(
    "Files",
    (
        Option(
            "volume", "[SRC:]DST[:OPT]", "Show a directory, a file or a named volume inside",
            _volume, short="v", many=True, complete="volume-or-file",
        ),
        Option("mount", "type=...,target=...", "The same in words", _mount, many=True),
        Option("tmpfs", "DST[:OPT]", "Files in memory", _tmpfs, many=True),
        Option("device", "SRC[:DST[:PERM]]", "Show a device inside", many=True, complete="file"),
        Option("read-only", "", "Nothing but mounts can be written"),
        Option("shm-size", "SIZE", "Size of /dev/shm", size, default="64m"),
    ),
    (
        Option("volumes-from", "NAME[:ro]", "The volumes of another container", many=True, complete="container"),
        Option("read-only-tmpfs", "", "With --read-only: /tmp, /run, /var/tmp in memory", default="true"),
        Option("secret", "NAME[,OPT]", "Show a secret as a file or variable", many=True, complete="secret"),
        Option("gpus", "all|N|device=", "Show graphics processors inside"),
        Option("passwd", "", "Add the user to /etc/passwd", default="true"),
        Option("passwd-entry", "LINE", "Its line in /etc/passwd"),
        Option("group-entry", "LINE", "Its line in /etc/group"),
        Option("hostuser", "NAME", "Add this user of the host to /etc/passwd", many=True),
        Option("chrootdirs", "DIR", "Also manage hosts and resolv.conf below this directory", many=True),
    ),
)  # fmt: skip
