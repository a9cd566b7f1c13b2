"""``exec`` and ``start``, apart from the long table of ``run``: they read none of its flags."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain
from rootless.cli.values import integer, natural, variable

EXEC = Command(
    "exec",
    plain(
        Option("interactive", "", "Keep standard input open", short="i"),
        Option("tty", "", "Give it a terminal", short="t"),
        Option("detach", "", "Run in the background", short="d"),
        Option(
            "env", "K=V|K", "Set a variable; K alone takes yours", variable, short="e", many=True
        ),
        Option("env-file", "FILE", "Read variables from a file", many=True, complete="file"),
        Option("workdir", "DIR", "Start in this directory", short="w"),
        Option("user", "NAME[:GROUP]", "Run as this user of the container", short="u"),
        Option("privileged", "", "All rights inside; none more outside"),
        Option("latest", "", "The newest container; no name is given", short="l"),
        Option("detach-keys", "KEYS", "What detaches a terminal"),
        Option("cidfile", "FILE", "The container whose id is in this file", complete="file"),
        Option("preserve-fd", "FD", "Pass this descriptor", integer, many=True),
        Option("preserve-fds", "N", "Pass N descriptors from 3 on", natural),
    ),
    (
        Argument("container", "CONTAINER", complete="container"),
        Argument("args", "PROGRAM", required=False, many=True),
    ),
    interspersed=False,
)

START = Command(
    "start",
    plain(
        Option("attach", "", "Connect to its output, and end as it ends", short="a"),
        Option("interactive", "", "Connect to its input", short="i"),
        Option("all", "", "All containers"),
        Option("latest", "", "The newest container", short="l"),
        Option("filter", "K=V", "Only those that match", short="f", many=True),
        Option("sig-proxy", "", "Pass signals on", default="true"),
        Option("detach-keys", "KEYS", "What detaches a terminal"),
    ),
    (Argument("containers", "CONTAINER", required=False, many=True, complete="container"),),
)
