"""Texts of the command line with a grammar of their own: ``--secret``, ``--ssh``, ``-o``, caches, contexts.

Pure.
"""

from __future__ import annotations

from rootless.build.remotes import git_checkout, is_web_address
from rootless.build.workshop import Secret
from rootless.errors import InvalidRequest, Unsupported
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OUTPUT_TYPES = ("local", "tar", "oci", "docker", "image", "registry")
_IMAGE_SCHEMES = ("docker-image://", "container-image://", "docker://")
_ELSEWHERE = ("gha", "s3", "azblob", "inline")


class Output(NamedTuple):
    """One ``-o``; ``destination`` is a path, or "-" for standard output."""

    type: str
    destination: str = ""
    name: str = ""
    push: bool = False
    tar: bool = True


class CachePlace(NamedTuple):
    """One ``--cache-from`` or ``--cache-to``: a directory, a tar file, or a reference in a registry."""

    kind: str  # directory tar registry
    place: str
    mode: str = "max"
    mounts: bool = True


class NamedContext(NamedTuple):
    """One ``--build-context``.

    ``kind`` is ``image``, ``layout`` (``value`` is ``path[:tag][@digest]``), ``directory``, ``git`` or ``web``.
    """

    name: str
    kind: str
    value: str


def fields_of(text: str, what: str) -> dict[str, str]:
    """``a=1,b=2``, quoted as in CSV; a word without "=" is a key with an empty value."""
    import csv

    try:
        words = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidRequest(f"{what} {text}: {error}") from None
    found = {}
    for word in words:
        key, _, value = word.partition("=")
        found[key.strip().lower()] = value
    return found


def _only(fields: Mapping[str, str], allowed: tuple[str, ...], what: str) -> None:
    for name in fields:
        if name not in allowed:
            raise InvalidRequest(
                f"{what} has no field {name!r}", hint=f"one of {', '.join(allowed)}"
            )


def parse_secrets(texts: Iterable[str], env: Mapping[str, str]) -> dict[str, Secret]:
    """``id=NAME``, with ``src=FILE``, ``env=VARIABLE`` or ``type=``; alone: a variable or a file NAME."""
    found = {}
    for text in texts:
        fields = fields_of(text, "--secret")
        _only(fields, ("id", "src", "source", "env", "type"), "--secret")
        path = fields.get("src") or fields.get("source") or ""
        variable = fields.get("env", "")
        name = fields.get("id") or path.rpartition("/")[2] or variable
        if not name:
            raise InvalidRequest(f"--secret {text} has no id", hint="--secret id=NAME,src=FILE")
        kind = fields.get("type", "")
        if kind not in ("", "file", "env"):
            raise InvalidRequest(f"--secret {text}: the type is file or env")
        if kind == "env" and not variable:
            path, variable = "", path or name
        elif not path and not variable:
            path, variable = ("", name) if name in env and kind != "file" else (name, "")
        found[name] = Secret(path, variable)
    return found


def parse_ssh(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``default`` or ``NAME=SOCKET`` or ``NAME=KEY,KEY``."""
    found = {}
    for text in texts:
        name, _, sources = text.partition("=")
        found[name or "default"] = tuple(each for each in sources.split(",") if each)
    return found


def parse_output(text: str) -> Output:
    """``type=T,dest=PATH,...``, a directory, or "-"."""
    if "=" not in text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    fields = fields_of(text, "--output")
    _only(fields, ("type", "dest", "name", "push", "tar"), "--output")
    kind = fields.get("type", "")
    if kind not in OUTPUT_TYPES:
        raise InvalidRequest(
            f"--output {text}: no type {kind!r}", hint=f"one of {', '.join(OUTPUT_TYPES)}"
        )
    destination = fields.get("dest", "")
    if kind == "local" and not destination:
        raise InvalidRequest("--output type=local needs dest=DIRECTORY")
    if kind in ("tar", "oci", "docker") and not destination:
        destination = "-"
    push = kind == "registry" or fields.get("push", "") in ("true", "1")
    tar = fields.get("tar", "true") in ("true", "1", "")
    return Output(
        "image" if kind == "registry" else kind, destination, fields.get("name", ""), push, tar
    )


def parse_cache(text: str, what: str) -> CachePlace:
    """``type=local,src=DIR``, ``type=tar,dest=FILE``, ``type=registry,ref=REF``, ``dir:``, ``tar:``, a reference."""
    for prefix, kind in (("dir:", "directory"), ("tar:", "tar")):
        if text.startswith(prefix):
            return CachePlace(kind, text.removeprefix(prefix))
    if "=" not in text:
        return CachePlace("registry", text)
    fields = fields_of(text, what)
    kind = fields.pop("type", "registry" if "ref" in fields else "")
    if kind in _ELSEWHERE:
        raise Unsupported(f"{what} type={kind} needs a service", hint="type=local, tar or registry")
    allowed = ("src", "dest", "ref", "mode", "mounts", "name", "compression", "oci-mediatypes")
    _only(fields, allowed, what)
    place = fields.get("ref") or fields.get("dest") or fields.get("src") or fields.get("name") or ""
    if kind not in ("local", "tar", "registry") or not place:
        raise InvalidRequest(
            f"{what} {text} is not understood",
            hint="type=local,dest=DIRECTORY, type=tar,dest=FILE or type=registry,ref=NAME",
        )
    return CachePlace(
        "directory" if kind == "local" else kind,
        place,
        fields.get("mode", "max"),
        fields.get("mounts", "true") not in ("false", "0"),
    )


def parse_context(text: str) -> NamedContext:
    """``NAME=docker-image://REF``, ``oci-layout://``, ``https://``, a git address, or a directory."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise InvalidRequest(f"--build-context {text} is not NAME=SOURCE")
    for scheme in _IMAGE_SCHEMES:
        if value.startswith(scheme):
            return NamedContext(name, "image", value.removeprefix(scheme))
    if value.startswith("oci-layout://"):
        return NamedContext(name, "layout", value.removeprefix("oci-layout://"))
    if git_checkout(value) is not None:
        return NamedContext(name, "git", value)
    if is_web_address(value):
        return NamedContext(name, "web", value)
    return NamedContext(name, "directory", value)


def pairs(texts: Iterable[str], what: str) -> dict[str, str]:
    """``K=V`` texts; a later one wins."""
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise InvalidRequest(f"{what} {text} is not KEY=VALUE")
        found[key] = value
    return found
