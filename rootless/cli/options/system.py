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
