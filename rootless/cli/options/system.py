"""``version``, ``info`` and what looks after the store."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

FORMAT = Option("format", "FORMAT", "json, or a Go template", short="f")

VERSION = Command("version", plain(FORMAT))

HELP = Command(
    "help",
    arguments=(Argument("words", "COMMAND", required=False, many=True),),
)

INFO = Command(
    "info",
    plain(FORMAT, Option("debug", "", ignored="everything is shown", short="D")),
)

UNSHARE = Command(
    "unshare",
    arguments=(Argument("args", "PROGRAM", "your shell otherwise", required=False, many=True),),
    interspersed=False,
)

SYSTEM_RESET = Command(
    "system reset",
    plain(Option("force", "", "Without asking", short="f")),
)

SYSTEM_CHECK = Command(
    "system check",
    plain(
        Option("repair", "", "Remove what is broken, and pull or unpack it again", short="r"),
        Option("quick", "", "Only names, sizes and records; read no content", short="q"),
        Option("force", "", "With --repair: also remove damaged containers, and images that can only run", short="f"),
        Option("max", "DURATION", refused="what killed commands left is known by its locks, not by its age", short="m"),
        Option("format", "FORMAT", "json, or a Go template"),
    ),
    details="The exit code is 1 while something is damaged. What killed commands left is no damage: it is"
    " shown, and cleared away by the next command.",
)  # fmt: skip

SYSTEM_DF = Command(
    "system df",
    plain(
        Option("verbose", "", "Every image, container, volume and cached step", short="v"),
        Option("format", "FORMAT", "table, json, or a Go template"),
    ),
)

SYSTEM_PRUNE = Command(
    "system prune",
    plain(
        Option("all", "", "Also every image without a container, and the whole build cache", short="a"),
        Option("volumes", "", "Also volumes that no container mounts"),
        Option("filter", "K=V", "Only what matches: until= label=", many=True),
        Option("force", "", "Without asking", short="f"),
        Option("build", "", ignored="a build leaves no containers"),
        Option("external", "", refused="only this store is ours"),
    ),
)  # fmt: skip
