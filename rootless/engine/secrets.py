"""Secrets: create, list, inspect, remove."""

from __future__ import annotations

import os

from rootless.engine.filters import has
from rootless.errors import InvalidRequest, RootlessError
from rootless.runtime.container import timestamp
from rootless.storage.secrets import LARGEST_BYTES, Secret, Secrets
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine


class CreateSecretRequest(NamedTuple):
    """``secret create``: the value is in the file at ``path``, or in standard input where that is None."""

    name: str
    path: str | None
    label: tuple[str, ...] = ()
    replace: bool = False
    ignore: bool = False


def create(engine: Engine, request: CreateSecretRequest, value: bytes | None = None) -> Secret:
    """Keep a secret.  Raises Conflict for a name that is taken, InvalidRequest."""
    secrets = Secrets(engine.paths)
    if request.ignore and exists(engine, request.name):
        return secrets.get(request.name)
    labels = {key: value for key, _, value in (each.partition("=") for each in request.label)}
    return secrets.create(
        request.name,
        _read(request.path) if value is None else value,
        now=timestamp(),
        labels=labels,
        replace=request.replace,
    )


def _read(path: str | None) -> bytes:
    """At most one byte more than is allowed: what says how long a file is may lie."""
    try:
        fd = os.dup(0) if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(fd, "rb") as stream:
            return stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"cannot read {path or 'standard input'}: {error.strerror}") from None


def list_secrets(engine: Engine, filters: tuple[str, ...] = ()) -> list[Secret]:
    """The secrets that pass all filters: name, id, label."""
    return [
        each
        for each in Secrets(engine.paths).all()
        if all(_passes(each, *text.partition("=")[::2]) for text in filters)
    ]


def _passes(secret: Secret, key: str, value: str) -> bool:
    match key:
        case "name":
            return value in secret.name
        case "id":
            return secret.id.startswith(value)
        case "label":
            return has(secret.labels, value)
    raise InvalidRequest(f"unknown filter {key!r}", hint="name, id or label")


def inspect(engine: Engine, name: str, *, show: bool = False) -> tuple[Secret, str | None]:
    """A secret, and with ``show`` its value.  Raises NotFound."""
    secrets = Secrets(engine.paths)
    secret = secrets.get(name)
    return secret, secrets.value(secret).decode(errors="replace") if show else None


def exists(engine: Engine, name: str) -> bool:
    """Whether there is such a secret."""
    try:
        Secrets(engine.paths).get(name)
    except RootlessError:
        return False
    return True


def remove(engine: Engine, name: str) -> str:
    """Remove a secret; its id.  Raises NotFound."""
    return Secrets(engine.paths).remove(name).id
