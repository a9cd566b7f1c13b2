"""Flags of the commands on stored images."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

_IMAGE = Argument("image", "IMAGE", complete="image")
_NO_TRUNC = Option("no-trunc", "", "Whole ids")
_FORMAT = Option("format", "FORMAT", "table, json, or a Go template")


IMAGES = Command(
    "images",
    plain(
        Option("all", "", "Also intermediate images, of which there are none", short="a"),
        Option("digests", "", "Show digests"),
        Option("filter", "K=V", "Only those that match: reference= label= dangling= before= ...", short="f", many=True),
        _FORMAT,
        _NO_TRUNC,
        Option("quiet", "", "Only ids", short="q"),
        Option("noheading", "", "No titles", short="n"),
        Option("sort", "FIELD", "By created, id, repository, size or tag",
               choices=("created", "id", "repository", "size", "tag"), default="created"),
        Option("history", "", ignored="names that an image has lost are not kept"),
    ),
    (Argument("names", "IMAGE", required=False, many=True, complete="image"),),
)  # fmt: skip

TAG = Command(
    "tag",
    arguments=(_IMAGE, Argument("names", "NAME", many=True)),
)

UNTAG = Command(
    "untag",
    arguments=(_IMAGE, Argument("names", "NAME", required=False, many=True)),
)

HISTORY = Command(
    "history",
    plain(
        _FORMAT,
        Option("human", "", "Sizes and times for people", short="H", default="true"),
        _NO_TRUNC,
        Option("quiet", "", "Only ids", short="q"),
    ),
    (_IMAGE,),
)

IMAGE_INSPECT = Command(
    "image inspect",
    plain(
        Option("format", "FORMAT", "json, or a Go template", short="f"),
        Option("platform", "OS/ARCH", "Which variant of the image"),
    ),
    (Argument("images", "IMAGE", many=True, complete="image"),),
)

IMAGE_TREE = Command(
    "image tree",
    plain(
        Option("whatrequires", "", refused="see rootless images --filter since=IMAGE"), _NO_TRUNC
    ),
    (_IMAGE,),
)

IMAGE_EXISTS = Command("image exists", arguments=(_IMAGE,))

RMI = Command(
    "rmi",
    plain(
        Option("force", "", "Also images that containers were made from", short="f"),
        Option("all", "", "All images", short="a"),
        Option("ignore", "", "An image that is not there is no error", short="i"),
        Option("no-prune", "", refused="layers that nothing needs are always removed"),
    ),
    (Argument("images", "IMAGE", required=False, many=True, complete="image"),),
)

IMAGE_PRUNE = Command(
    "image prune",
    plain(
        Option("all", "", "Every image that no container was made from", short="a"),
        Option("filter", "K=V", "Only those that match: until= label=", many=True),
        Option("force", "", "Without asking", short="f"),
    ),
)

SAVE = Command(
    "save",
    plain(
        Option("output", "FILE", "To a file or directory instead of standard output", short="o", complete="file"),
        Option("format", "FORMAT", "Of the archive", choices=("docker-archive", "oci-archive", "oci-dir"), default="docker-archive"),
        Option("quiet", "", ignored="there is nothing to say", short="q"),
        Option("multi-image-archive", "", ignored="an archive always may hold several", short="m"),
        Option("compress", "", ignored="layers keep their compression"),
    ),
    (Argument("images", "IMAGE", many=True, complete="image"),),
)  # fmt: skip

LOAD = Command(
    "load",
    plain(
        Option("input", "FILE", "From a file or directory instead of standard input", short="i", complete="file"),
        Option("quiet", "", "No progress on standard error", short="q"),
    ),
)  # fmt: skip

IMAGE_BOOTSTRAP = Command(
    "image bootstrap",
    plain(
        Option("tag", "NAME", "Its name (default localhost/host-base:latest)", short="t"),
        Option("quiet", "", "Only the id", short="q"),
    ),
)
