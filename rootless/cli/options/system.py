"""``version``, ``info`` and what looks after the store."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

FORMAT = Option("format", "FORMAT", "json, or a Go template", short="f")

VERSION = Command("version", "Show the version of rootless and what it runs on", plain(FORMAT))

HELP = Command(
    "help",
    "Show the commands, or one command's flags",
    arguments=(Argument("words", "COMMAND", required=False, many=True),),
)

INFO = Command(
    "info",
    "Show what this host can do and what was chosen",
    plain(FORMAT, Option("debug", "", ignored="everything is shown", short="D")),
)

UNSHARE = Command(
    "unshare",
    "Run a program as root of the user namespace, for files of subordinate ids",
    arguments=(Argument("args", "PROGRAM", "your shell otherwise", required=False, many=True),),
    interspersed=False,
)

SYSTEM_RESET = Command(
    "system reset",
    "Remove everything that was ever stored",
    plain(Option("force", "", "Without asking", short="f")),
)
