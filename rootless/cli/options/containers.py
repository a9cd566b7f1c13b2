"""Flags of the commands on existing containers."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain
from rootless.cli.values import natural, seconds

_CONTAINERS = Argument(
    "containers", "CONTAINER", "Names or ids", required=False, many=True, complete="container"
)
_ALL = Option("all", "", "All containers", short="a")
_LATEST = Option("latest", "", "The newest container", short="l")
_FILTER = Option("filter", "K=V", "Only those that match", short="f", many=True)
_CIDFILES = Option("cidfile", "FILE", "Those whose id is in a file", many=True, complete="file")
_IGNORE = Option("ignore", "", "A container that is not there is no error", short="i")

PS = Command(
    "ps",
    plain(
        Option("all", "", "Also those that do not run", short="a"),
        Option("filter", "K=V", "Only those that match: name= status= label= ancestor= ...", short="f", many=True),
        Option("format", "FORMAT", "table, json, or a Go template"),
        Option("quiet", "", "Only ids", short="q"),
        Option("no-trunc", "", "Whole ids and commands"),
        Option("last", "N", "The N newest, whether they run or not", natural, short="n"),
        Option("latest", "", "The newest, whether it runs or not", short="l"),
        Option("size", "", "How much each has written", short="s"),
        Option("sort", "FIELD", "By one of these", choices=("command", "created", "id", "image", "names", "runningfor", "size", "status")),
        Option("noheading", "", "No titles"),
    ),
)  # fmt: skip

RM = Command(
    "rm",
    plain(
        Option("force", "", "Also those that run", short="f"),
        Option("volumes", "", "And their anonymous volumes", short="v"),
        _ALL,
        _LATEST,
        Option("filter", "K=V", "Only those that match", many=True),
        _CIDFILES,
        Option("depend", "", "And those that depend on them"),
        _IGNORE,
        Option(
            "time", "SECONDS", "With --force: wait so long for them to stop", seconds, short="t"
        ),
    ),
    (_CONTAINERS,),
)

_CHOOSING = (_ALL, _LATEST, _FILTER, _CIDFILES)

STOP = Command(
    "stop",
    plain(
        Option("time", "SECONDS", "How long to wait before that", seconds, short="t", aliases=("timeout",)),
        Option("signal", "SIGNAL", "Instead of the container's stop signal", short="s"),
        *_CHOOSING,
        _IGNORE,
    ),
    (_CONTAINERS,),
)  # fmt: skip

RESTART = Command(
    "restart",
    plain(
        Option("time", "SECONDS", "How long to wait for the end", seconds, short="t", aliases=("timeout",)),
        Option("signal", "SIGNAL", "Instead of the container's stop signal", short="s"),
        Option("running", "", "Only those that run"),
        *_CHOOSING,
    ),
    (_CONTAINERS,),
)  # fmt: skip

KILL = Command(
    "kill",
    plain(
        Option("signal", "SIGNAL", "Which one", short="s", default="KILL"), _ALL, _LATEST, _CIDFILES
    ),
    (_CONTAINERS,),
)

WAIT = Command(
    "wait",
    plain(
        Option("condition", "STATE", "Until one is so: exited, running, healthy, removed ...", many=True),
        Option("interval", "SECONDS", "How often to look, with --condition", seconds, short="i", default="0.25"),
        _LATEST,
        _IGNORE._replace(short=""),
    ),
    (_CONTAINERS,),
)  # fmt: skip

ATTACH = Command(
    "attach",
    plain(
        Option("no-stdin", "", "Not to its input"),
        Option("detach-keys", "KEYS", "What ends the connection", default="ctrl-p,ctrl-q"),
        Option("sig-proxy", "", "Pass signals on", default="true"),
        _LATEST,
    ),
    (Argument("container", "CONTAINER", required=False, complete="container"),),
)

LOGS = Command(
    "logs",
    plain(
        Option("follow", "", "Also what it will write, until it ends", short="f"),
        Option("tail", "N", "Only the last N lines, or all", short="n", default="all"),
        Option("since", "TIME", "From then on: 2026-01-31T12:00:00, seconds since 1970, or 10m"),
        Option("until", "TIME", "Up to then"),
        Option("timestamps", "", "When each line was written", short="t"),
        Option("names", "", "Which container each line is from", short=""),
        _LATEST,
        Option("details", "", ignored="there are none"),
        Option("color", "", ignored="there are none"),
    ),
    (_CONTAINERS,),
)

RENAME = Command(
    "rename",
    arguments=(
        Argument("container", "CONTAINER", complete="container"),
        Argument("name", "NAME"),
    ),
)

INIT = Command(
    "init",
    plain(
        Option("all", "", "All that were created", short="a"),
        Option("latest", "", "The newest container", short="l"),
    ),
    (_CONTAINERS,),
    details="Mounts, network, limits and the first process are there then; `start` lets it become the program.",
)

PAUSE = Command("pause", plain(*_CHOOSING), (_CONTAINERS,))

UNPAUSE = Command("unpause", plain(*_CHOOSING), (_CONTAINERS,))

CONTAINER_PRUNE = Command(
    "container prune",
    plain(
        Option("filter", "K=V", "Only those that match: until= label= ...", many=True),
        Option("force", "", "Without asking", short="f"),
    ),
)

CONTAINER_EXISTS = Command(
    "container exists", arguments=(Argument("container", "CONTAINER", complete="container"),)
)
