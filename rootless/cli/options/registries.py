"""Flags of the commands that speak with registries."""

from __future__ import annotations

from rootless.cli.options.container import PULL as POLICIES
from rootless.cli.options.table import Argument, Command, Group, Option, plain
from rootless.cli.values import natural, seconds

_QUIET = Option("quiet", "", "No progress on standard error", short="q")
_IMAGE = Argument("image", "IMAGE", complete="image")

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
                Option("signature-policy", "FILE", "In place of policy.json: which signatures an image must have", complete="file"),
                Option("disable-content-trust", ignored="signatures are checked by policy.json"),
                Option("decryption-key", "KEY", refused="encrypted images cannot be read", many=True),
            ),
        ),
        REGISTRY,
    ),
    (Argument("images", "IMAGE", many=True),),
)  # fmt: skip

PUSH = Command(
    "push",
    (
        Group(
            "Options",
            (
                _QUIET,
                Option("all-tags", "", "Every tag of the repository", short="a"),
                Option("compression-format", "FORMAT", "Of the layers", choices=("gzip", "zstd")),
                Option("force-compression", "", "Also of layers that are compressed otherwise"),
                Option("format", "FORMAT", "Of the manifest: oci, v2s2", short="f"),
                Option("digestfile", "FILE", "Write the digest to a file", complete="file"),
                Option(
                    "sign-by-sigstore-private-key",
                    "FILE",
                    "Sign it with this PEM key",
                    complete="file",
                ),
                Option(
                    "sign-passphrase-file", "FILE", "The passphrase of that key", complete="file"
                ),
                Option("compression-level", "N", ignored="the usual one"),
                Option(
                    "disable-content-trust", "", ignored="signatures are checked by policy.json"
                ),
                Option("remove-signatures", "", ignored="signatures are not copied", short=""),
                Option("sign-by", "KEY", refused="GPG signatures are not made; sigstore ones are"),
                Option("encryption-key", "KEY", refused="images are not encrypted", many=True),
            ),
        ),
        REGISTRY,
    ),
    (
        _IMAGE,
        Argument("destination", "DESTINATION", "Another name to push it under", required=False),
    ),
)

LOGIN = Command(
    "login",
    plain(
        Option("username", "NAME", "User name", short="u"),
        Option("password", "PASSWORD", "Password; others can see it while the command runs", short="p"),
        Option("password-stdin", "", "Read the password from standard input"),
        Option("authfile", "FILE", "Keep it in this file", complete="file"),
        Option("tls-verify", "", "Check the registry's certificate", default="true"),
        Option("cert-dir", "DIR", "Certificates for the registry", complete="directory"),
        Option("get-login", "", "Print the user name that is stored"),
        Option("verbose", "", "Say where it is kept", short="v"),
    ),
    (Argument("registry", "REGISTRY", required=False),),
)  # fmt: skip

LOGOUT = Command(
    "logout",
    plain(
        Option("all", "", "Every registry", short="a"),
        Option("authfile", "FILE", "Forget it in this file", complete="file"),
    ),
    (Argument("registry", "REGISTRY", required=False),),
)

SEARCH = Command(
    "search",
    (
        Group(
            "Options",
            (
                Option("filter", "K=V", "stars=N, is-official, is-automated", short="f", many=True),
                Option("limit", "N", "At most so many", natural, default="25"),
                Option("list-tags", "", "The tags of a repository"),
                Option("format", "FORMAT", "table, json, or a Go template"),
                Option("no-trunc", "", "Whole descriptions"),
                Option("compatible", "", ignored="the columns are docker's"),
            ),
        ),
        REGISTRY,
    ),
    (Argument("term", "TERM"),),
)
