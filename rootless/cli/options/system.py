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
