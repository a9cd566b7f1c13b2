"""Flags of ``generate`` and ``healthcheck``."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain
from rootless.cli.values import seconds

_CONTAINER = Argument("container", "CONTAINER", complete="container")

GENERATE_SYSTEMD = Command(
    "generate systemd",
    plain(
        Option("files", "", "Write container-NAME.service here instead of printing it", short="f"),
        Option("name", "", "Use the container's name, not its id", short="n"),
        Option("new", "", "Make the container anew at each start, and remove it at the end"),
        Option("restart-policy", "POLICY", "When systemd starts it again", default="on-failure",
               choices=("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")),
        Option("stop-timeout", "SECONDS", "How long it has to stop", seconds, aliases=("time",), short="t"),
        Option("format", "", ignored="a unit is text"),
        Option("no-header", "", ignored="there is none"),
    ),
    (_CONTAINER,),
    details=(
        "Put the unit into ~/.config/systemd/user and enable it: systemctl --user enable --now container-NAME."
        " For a start at boot your services must outlive logins: loginctl enable-linger."
    ),
)  # fmt: skip

HEALTHCHECK_RUN = Command(
    "healthcheck run",
    arguments=(_CONTAINER,),
    details="Exits with 0 when the container is healthy, with 1 when it is not. The checks of its own clock go on.",
)
