"""``update``."""

from __future__ import annotations

from rootless.cli.options.isolation import LIMITS
from rootless.cli.options.table import Argument, Command, Group, Option

_NOT_CHANGED = ("cgroup-parent", "cgroups", "best-effort-limits", "blkio-weight-device")

UPDATE = Command(
    "update",
    (
        Group(
            "Limits",
            LIMITS.options,
            tuple(each for each in LIMITS.further if each.name not in _NOT_CHANGED),
        ),
        Group(
            "Life", (Option("restart", "POLICY", "no, on-failure[:N], always or unless-stopped"),)
        ),
    ),
    (Argument("containers", "CONTAINER", "Names or ids", many=True, complete="container"),),
    details="A running container is changed at once, a stopped one when it starts.",
)
