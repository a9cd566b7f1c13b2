"""``run``, ``create``, ``exec`` and ``start``."""

from __future__ import annotations

from rootless.cli.options.container import CONTAINER, DETACHING, FILES, IMAGE, PROCESS, STREAMS
from rootless.cli.options.isolation import HEALTH, IDENTITY, LIMITS, NETWORK, OTHERS, RIGHTS
from rootless.cli.options.table import Argument, Command, Group, Option, plain
from rootless.cli.values import integer, natural, variable

_IMAGE_AND_ARGS = (
    Argument(
        "image", "IMAGE|.", "Or a directory, which is built first", required=False, complete="image"
    ),
    Argument("args", "ARG", "Instead of the image's command", required=False, many=True),
)
_ISOLATION = (NETWORK, IDENTITY, RIGHTS, LIMITS, HEALTH, OTHERS)
_BUILD = Group(
    "Instead of an image",
    (
        Option(
            "file", "DOCKERFILE", "Build it first, if anything changed", short="f", complete="file"
        ),
    ),
)
_EXPLAIN = Group(
    "Instead of running",
    (
        Option(
            "explain", "FORM", "Print what would be done: plan, commands or json (OCI)",
            choices=("plan", "commands", "json"), bare="plan",
        ),
    ),
)  # fmt: skip

RUN = Command(
    "run",
    (CONTAINER, DETACHING, PROCESS, FILES, IMAGE, _BUILD, *_ISOLATION, _EXPLAIN),
    _IMAGE_AND_ARGS,
    interspersed=False,
)

CREATE = Command(
    "create",
    (CONTAINER, STREAMS, PROCESS, FILES, IMAGE, _BUILD, *_ISOLATION),
    _IMAGE_AND_ARGS,
    interspersed=False,
)

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
