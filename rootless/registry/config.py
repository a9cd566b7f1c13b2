"""Which registry an image name means: registries.conf version 2, and the same tables in config.toml.

``merge`` and everything below a ``Registries`` value are pure; ``load`` reads the files.
"""

from __future__ import annotations

import os

from rootless.errors import InvalidRequest, RegistryDenied
from rootless.image.reference import DEFAULT_REGISTRY, Reference, parse_reference, split_registry
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HUB_HOST = "registry-1.docker.io"  # where docker.io answers
_MIRROR_USES = ("", "all", "digest-only", "tag-only")


class Mirror(NamedTuple):
    """Another place with (some of) the images of a registry."""

    location: str
    insecure: bool = False
    pull_from_mirror: str = "all"


class Rule(NamedTuple):
    """One ``[[registry]]`` table; ``token_hosts`` is ours: further hosts that may get credentials."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    mirror_by_digest_only: bool = False
    token_hosts: tuple[str, ...] = ()


class Source(NamedTuple):
    """Where to ask for an image: a host, the repository there, and what it may be asked over."""

    host: str
    repository: str
    insecure: bool = False
    is_mirror: bool = False
    token_hosts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a person would write it."""
        return f"{self.host}/{self.repository}"


class Registries(NamedTuple):
    """Everything the configuration files say about registries."""

    rules: tuple[Rule, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    search: tuple[str, ...] | None = None
    credential_helpers: tuple[str, ...] = ()

    def rule(self, name: str) -> Rule | None:
        """The rule with the longest prefix of a canonical reference."""
        fitting = [rule for rule in self.rules if _has_prefix(name, rule.prefix)]
        return max(fitting, key=lambda rule: len(rule.prefix), default=None)

    def sources(self, reference: Reference, *, mirrors: bool = True) -> tuple[Source, ...]:
        """Where to ask for an image, mirrors first.  A push goes to the primary place only.

        Raises RegistryDenied for a registry that is blocked.
        """
        rule = self.rule(str(reference))
        if rule is None:
            return (_source(reference.name),)
        if rule.blocked:
            raise RegistryDenied(
                f"{reference.familiar_name} is blocked",
                hint=f"registries.conf blocks everything that begins with {rule.prefix}",
            )
        found = []
        for mirror in rule.mirrors if mirrors else ():
            if _is_for(mirror, rule, reference):
                name = _rewrite(reference.name, rule.prefix, mirror.location)
                source = _source(name, insecure=mirror.insecure, is_mirror=True)
                found.append(source._replace(token_hosts=self._token_hosts(name)))
        primary = _rewrite(reference.name, rule.prefix, rule.location)
        found.append(
            _source(primary, insecure=rule.insecure)._replace(token_hosts=rule.token_hosts)
        )
        return tuple(found)

    def source_of_host(self, host: str) -> Source:
        """A registry as a whole, for ``login`` and ``search``."""
        rule = self.rule(host)
        hub = HUB_HOST if host in (DEFAULT_REGISTRY, "index.docker.io") else host
        return Source(
            hub, "", rule is not None and rule.insecure, token_hosts=self._token_hosts(host)
        )

    def candidates(self, text: str) -> tuple[Reference, ...]:
        """What an image name may mean, best first: its alias, or it in every registry searched.

        A name that begins with a registry means itself; without configuration docker.io is searched.
        """
        reference = parse_reference(text)
        if split_registry(text)[0]:
            return (reference,)
        short = _without_suffix(text)
        alias = dict(self.aliases).get(short)
        suffix = text[len(short) :]
        if alias:
            return (parse_reference(alias + suffix),)
        if not self.search:
            return (reference,)
        return tuple(parse_reference(f"{host}/{text}") for host in self.search)

    def _token_hosts(self, name: str) -> tuple[str, ...]:
        rule = self.rule(name)
        return rule.token_hosts if rule else ()


def merge(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> Registries:
    """Put parsed files together, later ones over earlier ones; each comes with its path for errors.

    A rule of the same prefix and an alias of the same name replace the earlier one; an alias of empty
    text removes it.
    """
    rules: dict[str, Rule] = {}
    aliases: dict[str, str] = {}
    search: tuple[str, ...] | None = None
    helpers: tuple[str, ...] = ()
    for path, document in documents:
        if "registries" in document and isinstance(document["registries"], dict):
            raise InvalidRequest(
                f"{path} has the old format of registries.conf",
                hint="write [[registry]] tables: man containers-registries.conf",
            )
        for table in _get(document, "registry", list, path) or ():
            rule = _rule(table, path)
            rules[rule.prefix] = rule
        for name, value in (_get(document, "aliases", dict, path) or {}).items():
            aliases[name] = value
        if (hosts := _get(document, "unqualified-search-registries", list, path)) is not None:
            search = tuple(map(str, hosts))
        if (named := _get(document, "credential-helpers", list, path)) is not None:
            helpers = tuple(map(str, named))
    return Registries(
        rules=tuple(rules.values()),
        aliases=tuple((name, value) for name, value in aliases.items() if value),
        search=search,
        credential_helpers=helpers,
    )


def load(config_directory: str, environment: Mapping[str, str]) -> Registries:
    """Read registries.conf, its drop-ins and our config.toml, in this order of rising rank."""
    found = [(path, parse_toml(path)) for path in _files(environment) if os.path.exists(path)]
    own = f"{config_directory}/config.toml"
    if os.path.exists(own):
        found.append((own, parse_toml(own)))
    return merge(found)


def parse_toml(path: str) -> dict[str, Any]:
    """A TOML file; raises InvalidRequest that names it."""
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None


def user_config(environment: Mapping[str, str]) -> str:
    """The directory that podman, skopeo and buildah read for one user."""
    home = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return f"{home}/containers"


def _files(environment: Mapping[str, str]) -> list[str]:
    """The user's file stands in for the system's; drop-ins of both are read."""
    if chosen := environment.get("CONTAINERS_REGISTRIES_CONF"):
        if not os.path.exists(chosen):
            raise InvalidRequest(
                f"no file {chosen}",
                hint="the environment variable CONTAINERS_REGISTRIES_CONF names it",
            )
        return [chosen]
    own, system = user_config(environment), "/etc/containers"
    main = next(
        (path for each in (own, system) if os.path.exists(path := f"{each}/registries.conf")), None
    )
    found = [main] if main else []
    for directory in (f"{system}/registries.conf.d", f"{own}/registries.conf.d"):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        found.extend(f"{directory}/{name}" for name in names if name.endswith(".conf"))
    return found


def _rule(table: Any, path: str) -> Rule:
    if not isinstance(table, dict):
        raise InvalidRequest(f"{path}: registry is not a table", hint="write [[registry]]")
    location = (_get(table, "location", str, path) or "").rstrip("/")
    prefix = (_get(table, "prefix", str, path) or location).rstrip("/")
    if not prefix:
        raise InvalidRequest(f"{path}: a [[registry]] has neither prefix nor location")
    wildcard = prefix.startswith("*.")
    if "*" in prefix[1:] or ("*" in prefix and not wildcard) or (wildcard and "/" in prefix):
        raise InvalidRequest(
            f"{path}: {prefix!r} is not a prefix", hint="a wildcard is written *.example.com"
        )
    if not location and not wildcard:
        location = prefix
    digest_only = bool(_get(table, "mirror-by-digest-only", bool, path))
    return Rule(
        prefix=prefix,
        location=location,
        insecure=bool(_get(table, "insecure", bool, path)),
        blocked=bool(_get(table, "blocked", bool, path)),
        mirrors=tuple(_mirror(each, path) for each in _get(table, "mirror", list, path) or ()),
        mirror_by_digest_only=digest_only,
        token_hosts=tuple(map(str, _get(table, "token-hosts", list, path) or ())),
    )


def _mirror(table: Any, path: str) -> Mirror:
    location = _get(table, "location", str, path) if isinstance(table, dict) else None
    if not location:
        raise InvalidRequest(f"{path}: a [[registry.mirror]] has no location")
    use = _get(table, "pull-from-mirror", str, path) or ""
    if use not in _MIRROR_USES:
        raise InvalidRequest(
            f"{path}: pull-from-mirror is {use!r}", hint="write all, digest-only or tag-only"
        )
    return Mirror(location.rstrip("/"), bool(_get(table, "insecure", bool, path)), use or "all")


def _get(table: Mapping[str, Any], key: str, expected: type, path: str) -> Any:
    value = table.get(key)
    if value is not None and type(value) is not expected:
        raise InvalidRequest(f"{path}: {key} is not a {expected.__name__}")
    return value


def _has_prefix(name: str, prefix: str) -> bool:
    if prefix.startswith("*."):
        host = name.partition("/")[0]
        return host.endswith(prefix[1:])
    return name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in ("", "/", ":", "@")


def _is_for(mirror: Mirror, rule: Rule, reference: Reference) -> bool:
    use = "digest-only" if rule.mirror_by_digest_only else mirror.pull_from_mirror
    return use in ("all", "digest-only" if reference.digest else "tag-only")


def _rewrite(name: str, prefix: str, location: str) -> str:
    """Put ``location`` where the prefix is; a prefix may end with a tag that a name has not."""
    if prefix.startswith("*."):
        host, _, rest = name.partition("/")
        return f"{location or host}/{rest}"
    return location + name[len(prefix) :] if name.startswith(prefix) else _without_suffix(location)


def _source(name: str, *, insecure: bool = False, is_mirror: bool = False) -> Source:
    reference = parse_reference(name)
    host = HUB_HOST if reference.registry == DEFAULT_REGISTRY else reference.registry
    return Source(host, reference.repository, insecure, is_mirror)


def _without_suffix(text: str) -> str:
    rest = text.partition("@")[0]
    colon = rest.rfind(":")
    return rest[:colon] if colon > rest.rfind("/") else rest
