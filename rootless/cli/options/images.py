"""Flags of the commands on images and registries."""

from __future__ import annotations

from rootless.cli.options.container import PULL as POLICIES
from rootless.cli.options.table import Argument, Command, Group, Option, plain
from rootless.cli.values import natural, seconds

_IMAGE = Argument("image", "IMAGE", complete="image")
_QUIET = Option("quiet", "", "No progress on standard error", short="q")
_NO_TRUNC = Option("no-trunc", "", "Whole ids")
_FORMAT = Option("format", "FORMAT", "table, json, or a Go template")

REGISTRY = Group(
    "Registry",
    (
        Option("creds", "USER[:PASS]", "Credentials"),
        Option("authfile", "FILE", "Credentials from this file", complete="file"),
        Option("tls-verify", "", "Check the registry's certificate", default="true"),
        Option("cert-dir", "DIR", "Certificates for the registry", complete="directory"),
        Option("retry", "N", "Further tries after a failure of the network", natural),
        Option("retry-delay", "TIME", "Wait between tries", seconds),
    ),
)
PLATFORM = (
    Option("platform", "OS/ARCH", "Which variant of the image"),
    Option("os", "OS", "As in --platform"),
    Option("arch", "ARCH", "As in --platform"),
    Option("variant", "VARIANT", "As in --platform"),
)

PULL = Command(
    "pull",
    (
        Group(
            "Options",
            (
                _QUIET,
                Option("all-tags", "", "Every tag of the repository", short="a"),
                *PLATFORM,
                Option("policy", "POLICY", "always, missing, never or newer", choices=POLICIES, default="always"),
                Option("disable-content-trust", ignored="signatures are checked by policy.json"),
                Option("decryption-key", "KEY", refused="encrypted images cannot be read", many=True),
            ),
        ),
        REGISTRY,
    ),
    (Argument("images", "IMAGE", many=True),),
)  # fmt: skip

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
    plain(Option("format", "FORMAT", "json, or a Go template", short="f"), PLATFORM[0]),
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
