"""Image references: ``[registry/]repository[:tag][@digest]`` (distribution-spec; docker's short names).

Pure, and without regular expressions: it is on the path of every ``run``.
"""

from __future__ import annotations

from rootless.errors import ImageRefused, InvalidRequest
from rootless.image.digest import Digest, parse_digest
from rootless.typed import NamedTuple

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_NAME_LIMIT = 255
_TAG_LIMIT = 128
# The transports of podman and skopeo (containers-transports(5)) that need no registry.
_NO_REGISTRIES = (
    "oci",
    "oci-archive",
    "dir",
    "docker-archive",
    "docker-daemon",
    "containers-storage",
)

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_HOST = _WORD - {"_"} | {"-", "."}
_IPV6 = frozenset("0123456789abcdefABCDEF:.")


class Reference(NamedTuple):
    """The full name of an image; at least one of ``tag`` and ``digest`` is set."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """``name`` as docker shows it: what a bare name would mean is left out."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        return self.repository.removeprefix(_OFFICIAL)

    @property
    def familiar(self) -> str:
        """The whole reference as docker shows it."""
        return self.familiar_name + self._suffix()

    @property
    def target(self) -> str:
        """What the registry's manifest address ends with: the digest if there is one, or the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def parse_reference(text: str) -> Reference:
    """Read a reference as docker does: docker.io, ``library/`` and ``latest`` are the defaults.

    Raises InvalidRequest that says which part is wrong.
    """
    rest, at, digest_text = text.partition("@")
    name, tag = _split_tag(rest)
    registry, repository = split_registry(name)
    if registry in ("", "index.docker.io"):
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    if problem := (
        _registry_problem(registry)
        or _repository_problem(registry, repository)
        or _tag_problem(tag)
    ):
        raise _invalid(text, problem)
    digest = None
    if at:
        try:
            digest = parse_digest(digest_text)
        except ImageRefused as error:
            raise _invalid(text, error.message) from None
    if tag is None and digest is None:
        tag = DEFAULT_TAG
    return Reference(registry, repository, tag=tag, digest=digest)


def registry_name(text: str) -> str:
    """What podman and skopeo write as ``docker://NAME``.

    Raises InvalidRequest for their other transports, which would be read as a name and a tag.
    """
    transport, colon, _ = text.partition(":")
    if colon and transport in _NO_REGISTRIES:
        raise InvalidRequest(
            f"{text} is not at a registry",
            hint="rootless load -i FILE reads archives and layouts, rootless save -o FILE writes them",
        )
    return text.removeprefix("docker://")


def split_registry(name: str) -> tuple[str, str]:
    """The registry that a name begins with, or an empty string, and the rest.

    The first component is a host when it could not be part of a repository: it has a dot or a colon, or it
    is ``localhost``.
    """
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", name


def is_qualified(text: str) -> bool:
    """Whether the reference names its registry itself."""
    return split_registry(text)[0] != ""


def is_name(text: str) -> bool:
    """Whether ``text`` can be read as a reference at all."""
    try:
        parse_reference(text)
    except InvalidRequest:
        return False
    return True


def _split_tag(rest: str) -> tuple[str, str | None]:
    colon = rest.rfind(":")
    if colon > rest.rfind("/"):
        return rest[:colon], rest[colon + 1 :]
    return rest, None


def _registry_problem(registry: str) -> str | None:
    host, colon, port = registry.rpartition(":")
    if not colon or registry.endswith("]"):
        host, port = registry, "0"
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        return f"{port!r} is not a port"
    if host.startswith("[") and host.endswith("]"):
        return (
            None if _IPV6.issuperset(host[1:-1]) and host[1:-1] else f"{host!r} is not an address"
        )
    labels = host.split(".")
    if not _HOST.issuperset(host) or any(
        not label or label.startswith("-") or label.endswith("-") for label in labels
    ):
        return f"{host!r} is not a host name"
    return None


def _repository_problem(registry: str, repository: str) -> str | None:
    if len(registry) + 1 + len(repository) > _NAME_LIMIT:
        return f"the name is longer than {_NAME_LIMIT} characters"
    for component in repository.split("/"):
        if not component:
            return "a component of the name is empty"
        if component.lower() != component:
            return "repository names are lower-case"
        if not _is_component(component):
            return f"{component!r} is not a component of a name"
    bare = repository.removeprefix(_OFFICIAL)
    if len(bare) == 64 and set(bare) <= frozenset("0123456789abcdef"):
        return "64 hexadecimal digits are an image id, not a name"
    return None


def _is_component(component: str) -> bool:
    """``[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*``."""
    separator = ""
    for character in component:
        if character in "._-":
            separator += character
            continue
        if separator and separator not in (".", "_", "__") and separator.strip("-"):
            return False
        separator = ""
        if character not in _LOWER:
            return False
    return component[0] in _LOWER and component[-1] in _LOWER


def _tag_problem(tag: str | None) -> str | None:
    if tag is None:
        return None
    if not tag:
        return "the tag is empty"
    if len(tag) > _TAG_LIMIT:
        return f"the tag is longer than {_TAG_LIMIT} characters"
    if tag[0] not in _WORD or not (_WORD | {".", "-"}).issuperset(tag):
        return f"{tag!r} is not a tag"
    return None


def _invalid(text: str, problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text!r} is not an image reference: {problem}",
        hint="write [registry/]name[:tag][@sha256:digest]",
    )
