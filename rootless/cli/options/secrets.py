"""Flags of the commands on secrets."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

_SECRETS = Argument(
    "secrets", "SECRET", "Names or ids", required=False, many=True, complete="secret"
)

SECRET_CREATE = Command(
    "secret create",
    plain(
        Option("env", "", "SOURCE is the name of a variable of yours"),
        Option("label", "K=V", "A note of yours", short="l", many=True),
        Option("replace", "", "Take the place of one of that name"),
        Option("ignore", "", "A secret that exists is no error"),
        Option("driver", "NAME", ignored="secrets are files of mode 0600", short="d"),
    ),
    (
        Argument("name", "NAME"),
        Argument("source", "FILE", "The value; - is standard input", complete="file"),
    ),
)

SECRET_LS = Command(
    "secret ls",
    plain(
        Option("filter", "K=V", "Only those that match: name= id= label=", short="f", many=True),
        Option("format", "FORMAT", "table, json, or a Go template"),
        Option("quiet", "", "Only ids", short="q"),
        Option("noheading", "", "No titles", short="n"),
    ),
)

SECRET_INSPECT = Command(
    "secret inspect",
    plain(
        Option("format", "FORMAT", "json, or a Go template", short="f"),
        Option("showsecret", "", "Also the value"),
    ),
    (_SECRETS,),
)

SECRET_RM = Command(
    "secret rm",
    plain(
        Option("all", "", "All secrets", short="a"),
        Option("ignore", "", "A secret that is not there is no error", short="i"),
    ),
    (_SECRETS,),
)

SECRET_EXISTS = Command(
    "secret exists", arguments=(Argument("secret", "SECRET", "Its name or id", complete="secret"),)
)
