"""Flags of ``generate``, ``quadlet`` and ``healthcheck``."""

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

GENERATE_QUADLET = Command(
    "generate quadlet",
    plain(Option("files", "", "Write NAME.container here instead of printing it", short="f")),
    (_CONTAINER,),
    details="Both podman and `rootless quadlet install` make a service of it. It is made from the words of the container's `run`.",
)

QUADLET_INSTALL = Command(
    "quadlet install",
    plain(Option("replace", "", "Also over services that were made of quadlets before")),
    (Argument("files", "FILE", many=True, complete="file"),),
    details=(
        "FILE is a .container, .volume or .network of podman's. The services are written to ~/.config/systemd/user,"
        " and enabled if they have an [Install] section."
    ),
)

QUADLET_LIST = Command(
    "quadlet list",
    plain(
        Option("format", "TEMPLATE", "A template of Go, or json"),
        Option("quiet", "", "Only names", short="q"),
        Option("noheading", "", "No heading", short="n"),
    ),
)

QUADLET_PRINT = Command("quadlet print", arguments=(Argument("file", "FILE", complete="file"),))

QUADLET_RM = Command("quadlet rm", arguments=(Argument("names", "NAME", many=True),))

HEALTHCHECK_RUN = Command(
    "healthcheck run",
    arguments=(_CONTAINER,),
    details="Exits with 0 when the container is healthy, with 1 when it is not. The checks of its own clock go on.",
)
