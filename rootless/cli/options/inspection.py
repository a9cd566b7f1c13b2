"""Flags of the commands that look at containers."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain
from rootless.cli.values import decimal

_LATEST = Option("latest", "", "The newest container", short="l")
_ALL = Option("all", "", "All containers", short="a")
_CONTAINERS = Argument(
    "containers", "CONTAINER", "Names or ids", required=False, many=True, complete="container"
)
_FORMAT = Option("format", "FORMAT", "json, or a Go template", short="f")

INSPECT = Command(
    "inspect",
    plain(
        _FORMAT,
        Option("type", "TYPE", "Only things of this type", short="t",
               choices=("all", "container", "image", "volume", "network"), default="all"),
        Option("size", "", "How much a container has written", short="s"),
        _LATEST,
    ),
    (Argument("names", "NAME", "Of containers, images, volumes or networks", required=False, many=True, complete="container"),),
)  # fmt: skip

CONTAINER_INSPECT = Command(
    "container inspect",
    plain(_FORMAT, Option("size", "", "How much it has written", short="s"), _LATEST),
    (Argument("names", "CONTAINER", required=False, many=True, complete="container"),),
)

TOP = Command(
    "top",
    plain(_LATEST),
    (
        Argument("container", "CONTAINER", required=False, complete="container"),
        Argument("columns", "COLUMN", "user pid ppid pcpu etime tty time args ...", required=False, many=True),
    ),
    interspersed=False,
)  # fmt: skip

PORT = Command(
    "port",
    plain(_ALL, _LATEST),
    (
        Argument("container", "CONTAINER", required=False, complete="container"),
        Argument("port", "PORT[/PROTO]", required=False),
    ),
)

STATS = Command(
    "stats",
    plain(
        Option("all", "", "Also those that do not run", short="a"),
        Option("format", "FORMAT", "table, json, or a Go template"),
        Option("interval", "SECONDS", "How often", decimal, short="i", default="2"),
        Option("no-stream", "", "Once, and end"),
        Option("no-reset", "", "Do not clear the screen each time"),
        Option("no-trunc", "", "Whole ids"),
        _LATEST,
    ),
    (_CONTAINERS,),
)
