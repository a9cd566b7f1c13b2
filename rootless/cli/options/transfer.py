"""Flags of what moves files between containers, images and archives."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

_CONTAINER = Argument("container", "CONTAINER", complete="container")
_CHANGE = Option(
    "change", "INSTRUCTION", "Such as CMD, ENV, LABEL, USER, as in a Dockerfile", short="c", many=True
)  # fmt: skip
_FORMAT = Option("format", "FORMAT", "json instead of lines")

CP = Command(
    "cp",
    plain(
        Option("archive", "", "Keep the owners, as far as the id map has them", short="a"),
        Option("follow-link", "", "Copy what a link at the source's end leads to", short="L"),
        Option("overwrite", "", "A file may take the place of a directory, and the other way"),
        Option("quiet", "", short="q", ignored="nothing is printed anyway"),
        Option("pause", "", ignored="files are read one by one either way"),
    ),
    (
        Argument("source", "SOURCE", complete="container-path-or-file"),
        Argument("target", "TARGET", complete="container-path-or-file"),
    ),
    details=(
        "One side is CONTAINER:PATH, the other a path here, - for a tar stream, or in another container."
        " A directory is copied into a target that is a directory, or becomes the target; SOURCE/. means its"
        " content. Copies belong to root in a container and to you here, unless -a is given."
    ),
)

DIFF = Command(
    "diff",
    plain(
        _FORMAT,
        Option("latest", "", "The newest container", short="l"),
    ),
    (Argument("names", "CONTAINER|IMAGE", required=False, many=True, complete="container"),),
    details="A line begins with A for added, C for changed, D for deleted. Two images are compared with each other.",
)

IMAGE_DIFF = Command(
    "image diff",
    plain(_FORMAT),
    (Argument("names", "IMAGE", many=True, complete="image"),),
    details="What the first image has other than the second, or without one, what its top layer changed.",
)

EXPORT = Command(
    "export",
    plain(
        Option("output", "FILE", "Instead of standard output", short="o", complete="file"),
        Option("latest", "", "The newest container", short="l"),
    ),
    (_CONTAINER._replace(required=False),),
)

IMPORT = Command(
    "import",
    plain(
        _CHANGE,
        Option("message", "TEXT", "For the image's history", short="m"),
        Option("platform", "OS/ARCH", "What the files are for; this machine otherwise"),
        Option("quiet", "", "Only the id", short="q"),
    ),
    (
        Argument("source", "FILE|URL|-", complete="file"),
        Argument("reference", "NAME", required=False),
    ),
)

COMMIT = Command(
    "commit",
    plain(
        Option("author", "TEXT", "Who made it", short="a"),
        _CHANGE,
        Option("message", "TEXT", "For the image's history", short="m"),
        Option("pause", "", "Stop the container's processes meanwhile", short="p"),
        Option("iidfile", "FILE", "Write the image's id to a file", complete="file"),
        Option("format", "FORMAT", "oci or docker", short="f", choices=("oci", "docker"), default="oci"),
        Option("quiet", "", "Only the id", short="q"),
        Option("squash", "", short="s", refused="`rootless export | rootless import -` makes an image of one layer"),
        Option("include-volumes", "", refused="volumes are not part of a container's files; copy them in with `rootless cp`"),
    ),
    (_CONTAINER, Argument("image", "NAME", required=False)),
)  # fmt: skip
