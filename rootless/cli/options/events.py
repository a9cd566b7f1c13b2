"""Flags of ``events``."""

from __future__ import annotations

from rootless.cli.options.table import Command, Option, plain

EVENTS = Command(
    "events",
    plain(
        Option("since", "TIME", "Also what happened from then on: 2026-01-31T12:00:00, or 10m"),
        Option("until", "TIME", "Up to then"),
        Option("filter", "K=V", "Only those: container= image= event= type= label= volume= network=", short="f", many=True),
        Option("format", "FORMAT", "json, or a Go template"),
        Option("stream", "", "Wait for more", default="true"),
        Option("no-stream", "", "Show what is known, and end"),
        Option("no-trunc", "", "Whole ids", default="true"),
    ),
)  # fmt: skip
