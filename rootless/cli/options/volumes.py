"""Flags of the commands on volumes."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

_VOLUME = Argument("volume", "VOLUME", "Its name", complete="volume")
_VOLUMES = Argument("volumes", "VOLUME", "Names", required=False, many=True, complete="volume")
_FORMAT = Option("format", "FORMAT", "table, json, or a Go template", short="f")

VOLUME_CREATE = Command(
    "volume create",
    plain(
        Option("driver", "NAME", "local is the only one", short="d", default="local"),
        Option("label", "K=V", "A note of yours", short="l", many=True),
        Option("opt", "K=V", "type=none o=bind device=DIRECTORY: a directory of yours", short="o", many=True),
        Option("ignore", "", "A volume that exists is no error"),
    ),
    (Argument("name", "NAME", "Without it, one is made up", required=False),),
)  # fmt: skip

VOLUME_LS = Command(
    "volume ls",
    plain(
        Option("filter", "K=V", "name= label= dangling= anonymous= driver= opt= until=", short="f", many=True),
        Option("format", "FORMAT", "table, json, or a Go template"),
        Option("quiet", "", "Only names", short="q"),
        Option("noheading", "", "No titles", short="n"),
        Option("size", "", "And what they take on disk", short="s"),
    ),
)  # fmt: skip

VOLUME_INSPECT = Command(
    "volume inspect",
    plain(Option("all", "", "All volumes", short="a"), _FORMAT),
    (_VOLUMES,),
)

VOLUME_RM = Command(
    "volume rm",
    plain(
        Option("all", "", "All volumes", short="a"),
        Option("force", "", "And the containers that mount them", short="f"),
        Option("time", "SECONDS", ignored="containers are ended at once", short="t"),
    ),
    (_VOLUMES,),
)

VOLUME_PRUNE = Command(
    "volume prune",
    plain(
        Option("all", "", "Also those with a name", short="a"),
        Option("filter", "K=V", "Only those that match", many=True),
        Option("force", "", "Do not ask", short="f"),
    ),
)

VOLUME_EXISTS = Command("volume exists", arguments=(_VOLUME,))

VOLUME_MOUNT = Command("volume mount", arguments=(_VOLUME,))

VOLUME_UNMOUNT = Command("volume unmount", arguments=(_VOLUME,))

VOLUME_EXPORT = Command(
    "volume export",
    plain(Option("output", "FILE", "Instead of standard output", short="o", complete="file")),
    (_VOLUME,),
)

VOLUME_IMPORT = Command(
    "volume import",
    arguments=(
        Argument("volume", "VOLUME", "Made where there is none", complete="volume"),
        Argument("source", "FILE", "An archive, compressed or not; - is standard input", complete="file"),
    ),
)  # fmt: skip
