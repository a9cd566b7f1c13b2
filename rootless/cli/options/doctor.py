"""``doctor``."""

from __future__ import annotations

from rootless.cli.options.table import Command, Option, plain

DOCTOR = Command(
    "doctor",
    plain(
        Option("format", "FORMAT", "json, or a Go template", short="f"),
        Option("json", "", "As --format json"),
        Option("require", "NAME", "Fail unless this works: a tier, a check or a controller", many=True),
        Option("registry", "HOST", "Ask this registry, or none", default="docker.io"),
        Option("quiet", "", "Only what does not work", short="q"),
        Option("apparmor-profile", "", "Print the AppArmor profile that allows user namespaces to us"),
    ),
    details="Everything is tried, nothing is assumed. Exit code 0: containers start here; 1: they do not,"
    " or something that was required is missing.",
)  # fmt: skip
