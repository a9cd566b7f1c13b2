"""``run`` and ``create``."""

from __future__ import annotations

from rootless.cli.options.container import CONTAINER, DETACHING, FILES, IMAGE, PROCESS, STREAMS
from rootless.cli.options.isolation import HEALTH, IDENTITY, LIMITS, NETWORK, OTHERS, RIGHTS
from rootless.cli.options.table import Argument, Command, Group, Option

_IMAGE_AND_ARGS = (
    Argument(
        "image", "IMAGE|.", "Or a directory, which is built first", required=False, complete="image"
    ),
    Argument("args", "ARG", "Instead of the image's command", required=False, many=True),
)
_ISOLATION = (NETWORK, IDENTITY, RIGHTS, LIMITS, HEALTH, OTHERS)
_BUILD = Group(
    "Instead of an image",
    (
        Option(
            "file", "DOCKERFILE", "Build it first, if anything changed", short="f", complete="file"
        ),
    ),
)
_EXPLAIN = Group(
    "Instead of running",
    (
        Option(
            "explain", "FORM", "Print what would be done: plan, commands or json (OCI)",
            choices=("plan", "commands", "json"), bare="plan",
        ),
    ),
)  # fmt: skip

RUN = Command(
    "run",
    (CONTAINER, DETACHING, PROCESS, FILES, IMAGE, _BUILD, *_ISOLATION, _EXPLAIN),
    _IMAGE_AND_ARGS,
    interspersed=False,
)

CREATE = Command(
    "create",
    (CONTAINER, STREAMS, PROCESS, FILES, IMAGE, _BUILD, *_ISOLATION),
    _IMAGE_AND_ARGS,
    interspersed=False,
)
