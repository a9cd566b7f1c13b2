"""Flags of the commands on user networks."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command, Option, plain

_NETWORK = Argument("network", "NETWORK", "Its name or id", complete="network")
_NETWORKS = Argument("networks", "NETWORK", "Names or ids", many=True, complete="network")
_CONTAINER = Argument("container", "CONTAINER", "Its name or id", complete="container")
_FORMAT = Option("format", "FORMAT", "table, json, or a Go template", short="f")

NETWORK_CREATE = Command(
    "network create",
    plain(
        Option("driver", "NAME", "bridge is the only one", short="d", default="bridge"),
        Option("subnet", "CIDR", "Its addresses, such as 10.90.0.0/24", many=True),
        Option("gateway", "IP", "The address of its bridge and resolver", many=True),
        Option("internal", "", "No way out of it"),
        Option("ipv6", "", "IPv6 addresses too"),
        Option("disable-dns", "", "Answer no names"),
        Option("label", "K=V", "A note of yours", many=True),
        Option("opt", "K=V", "mtu=BYTES", short="o", many=True),
        Option("ignore", "", "A network that exists is no error"),
        Option("attachable", "", ignored="every network of yours is"),
        Option(
            "ip-range", "CIDR", "The part of a subnet that containers get theirs from", many=True
        ),
        Option("dns", "IP", refused="give --dns to the containers", many=True),
        Option("route", "ROUTE", refused="containers reach all networks they are on", many=True),
    ),
    (Argument("name", "NAME"),),
)

NETWORK_LS = Command(
    "network ls",
    plain(
        Option("filter", "K=V", "Only those that match: name= id= label= internal= dangling=", short="f", many=True),
        Option("format", "FORMAT", "table, json, or a Go template"),
        Option("quiet", "", "Only names", short="q"),
        Option("no-trunc", "", "Whole ids"),
        Option("noheading", "", "No titles", short="n"),
    ),
)  # fmt: skip

NETWORK_INSPECT = Command(
    "network inspect",
    plain(_FORMAT),
    (_NETWORKS,),
)

NETWORK_RM = Command(
    "network rm",
    plain(
        Option("force", "", "And the containers that use them", short="f"),
        Option("ignore", "", "A network that is not there is no error", short="i"),
        Option("time", "SECONDS", ignored="containers are ended at once", short="t"),
    ),
    (_NETWORKS,),
)

NETWORK_PRUNE = Command(
    "network prune",
    plain(
        Option("filter", "K=V", "Only those that match", many=True),
        Option("force", "", ignored="there is no question", short="f"),
    ),
)

NETWORK_CONNECT = Command(
    "network connect",
    plain(
        Option("alias", "NAME", "A further name of it there", many=True),
        Option("ip", "IP", "Its address there"),
        Option("ip6", "IP", "Its IPv6 address there"),
        Option("mac-address", "MAC", "Its MAC address there"),
    ),
    (_NETWORK, _CONTAINER),
)

NETWORK_DISCONNECT = Command(
    "network disconnect",
    plain(Option("force", "", ignored="it always is", short="f")),
    (_NETWORK, _CONTAINER),
)

NETWORK_EXISTS = Command("network exists", arguments=(_NETWORK,))

NETWORK_TEST = Command(
    "network test",
    plain(
        Option("network", "MODE", "private, pasta or slirp4netns", default="private"),
        Option("format", "FORMAT", "table or json"),
        Option("refresh", "", "Probe the helpers anew"),
    ),
)
