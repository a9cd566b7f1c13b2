"""Flags of the commands on indexes of images for several platforms."""

from __future__ import annotations

from rootless.cli.options.registries import REGISTRY
from rootless.cli.options.table import Argument, Command, Group, Option, plain

_NAME = Argument("name", "LIST", complete="image")
_ALL = Option("all", "", "Of an image for several platforms, take every one", short="a")
_ANNOTATION = Option("annotation", "K=V", "Say something about it", many=True)
_QUIET = Option("quiet", "", "No progress on standard error", short="q")
_DESCRIBED = (
    _ANNOTATION,
    Option("os", "OS", "The operating system that the index records"),
    Option("arch", "ARCH", "The architecture that the index records"),
    Option("variant", "VARIANT", "The variant of the architecture that the index records"),
    Option("os-version", "VERSION", "The version of the system that the index records"),
    Option("os-features", "FEATURE", refused="no runtime looks at it", many=True),
    Option("features", "FEATURE", refused="the specification reserves it", many=True),
)

MANIFEST_CREATE = Command(
    "manifest create",
    (
        Group(
            "Options",
            (
                _ALL,
                Option("amend", "", "Add to an index that exists"),
                _ANNOTATION,
                _QUIET,
            ),
        ),
        REGISTRY,
    ),
    (
        Argument("name", "LIST"),
        Argument("images", "IMAGE", required=False, many=True, complete="image"),
    ),
)

MANIFEST_ADD = Command(
    "manifest add",
    (Group("Options", (_ALL, _QUIET, *_DESCRIBED)), REGISTRY),
    (_NAME, Argument("images", "IMAGE", many=True, complete="image")),
)

MANIFEST_ANNOTATE = Command(
    "manifest annotate",
    plain(
        Option("index", "", "Annotate the index itself"),
        *_DESCRIBED,
    ),
    (_NAME, Argument("image", "IMAGE", required=False, complete="image")),
)

MANIFEST_INSPECT = Command(
    "manifest inspect",
    (Group("Options", (Option("verbose", "", ignored="all is shown", short="v"),)), REGISTRY),
    (_NAME,),
)

MANIFEST_PUSH = Command(
    "manifest push",
    (
        Group(
            "Options",
            (
                Option("all", "", "Also the images; an index without them is of no use", default="true"),
                Option("purge", "", "Remove the index when it is there", short="p", aliases=("rm",)),
                _QUIET,
                Option("compression-format", "FORMAT", "Of the layers", choices=("gzip", "zstd")),
                Option("force-compression", "", "Also of layers that are compressed otherwise"),
                Option("format", "FORMAT", "Of the manifests: oci, v2s2", short="f"),
                Option("digestfile", "FILE", "Write the digest to a file", complete="file"),
                Option("remove-signatures", "", ignored="signatures are not copied"),
            ),
        ),
        REGISTRY,
    ),
    (_NAME, Argument("destination", "DESTINATION", "Another name to push it under", required=False)),
)  # fmt: skip

MANIFEST_REMOVE = Command(
    "manifest remove",
    arguments=(_NAME, Argument("image", "IMAGE", complete="image")),
)

MANIFEST_RM = Command(
    "manifest rm",
    arguments=(Argument("names", "LIST", many=True, complete="image"),),
)

MANIFEST_EXISTS = Command("manifest exists", arguments=(_NAME,))
