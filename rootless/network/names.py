"""The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf of a container.  Pure."""

from __future__ import annotations

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import NamedTuple

NO_RESOLVERS = ("none",)
"""``--dns none``: the image's own resolv.conf is left alone."""

HOST_NAMES = ("host.containers.internal", "host.docker.internal")

_LOOPBACK = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class ExtraHost(NamedTuple):
    """One ``--add-host``: names for an address, which may be the word ``host-gateway``."""

    names: tuple[str, ...]
    address: str


def parse_extra_host(text: str) -> ExtraHost:
    """``name:address``, ``name=address``, several names with ``;``; an IPv6 address may have brackets."""
    left, separator, address = text.partition("=" if "=" in text else ":")
    names = tuple(left.split(";"))
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not separator or not all(_is_name(name) for name in names):
        raise _invalid_host(text)
    if address != "host-gateway" and not _is_address(address):
        raise _invalid_host(text)
    return ExtraHost(names, address)


def hosts(
    *,
    hostname: str | None,
    addresses: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    host_address: str | None = None,
    extra: tuple[ExtraHost, ...] = (),
    base: str | None = None,
) -> str:
    """/etc/hosts: loopback (or ``base``), what ``--add-host`` says, the host's names, the container's own.

    ``addresses`` are the container's; with none its name is 127.0.0.1, as podman has it.  The first
    line that names a host wins, so ``--add-host`` comes before what we would say ourselves.
    """
    lines = [
        _LOOPBACK if base is None else base if base.endswith("\n") or not base else f"{base}\n"
    ]
    given: set[str] = set()
    for each in extra:
        lines.append(f"{_resolve(each, host_address)}\t{' '.join(each.names)}\n")
        given.update(each.names)
    aliases = [name for name in HOST_NAMES if name not in given]
    if host_address and aliases:
        lines.append(f"{host_address}\t{' '.join(aliases)}\n")
    own = " ".join(dict.fromkeys(name for name in (hostname, *names) if name))
    if own:
        lines.extend(f"{address}\t{own}\n" for address in addresses or ("127.0.0.1",))
    return "".join(lines)


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


class Resolver(NamedTuple):
    """What a resolv.conf says (resolv.conf(5))."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolver(text: str) -> Resolver:
    """Read a resolv.conf; as in libc the last ``search`` or ``domain`` line wins."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        keyword, *words = line.split() or ("",)
        if keyword == "nameserver" and words:
            nameservers.append(words[0])
        elif keyword in ("search", "domain"):
            search = tuple(words)
        elif keyword == "options":
            options.extend(words)
    return Resolver(tuple(nameservers), search, tuple(options))


def is_loopback(address: str) -> bool:
    """Whether a name server's address means the asking host itself."""
    return address.startswith("127.") or address in ("::1", "0.0.0.0", "::")


def resolv_conf(
    *,
    host: Resolver,
    nameservers: tuple[str, ...] = (),
    dns: tuple[str, ...] = (),
    dns_search: tuple[str, ...] = (),
    dns_options: tuple[str, ...] = (),
    own_loopback: bool = False,
) -> str:
    """/etc/resolv.conf: what ``--dns*`` say, else the network's ``nameservers``, else the host's.

    The host's loopback resolvers are kept only where the container shares its loopback
    (``own_loopback``).  ``--dns-search .`` means no search list.
    """
    usable = tuple(each for each in host.nameservers if own_loopback or not is_loopback(each))
    servers = dns or nameservers or usable
    for server in dns:
        if not _is_address(server.partition("%")[0]):
            raise InvalidRequest(f"invalid --dns {server}: not an address")
    search = dns_search or host.search
    lines = []
    if search and search != (".",):
        lines.append(f"search {' '.join(search)}\n")
    lines.extend(f"nameserver {server}\n" for server in servers)
    options = dns_options or host.options
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)


def _resolve(each: ExtraHost, host_address: str | None) -> str:
    if each.address != "host-gateway":
        return each.address
    if host_address is None:
        raise HostLacks(
            f"no address for {each.names[0]}: this network does not lead to the host",
            hint="name an address, or use the default network",
        )
    return host_address


def _is_name(name: str) -> bool:
    return bool(name) and all(
        letter.isascii() and (letter.isalnum() or letter in "-._") for letter in name
    )


def _is_address(text: str) -> bool:
    from ipaddress import ip_address  # 4 ms, and only with --add-host or --dns

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _invalid_host(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"invalid --add-host {text}", hint="write name:address, or name:host-gateway"
    )
