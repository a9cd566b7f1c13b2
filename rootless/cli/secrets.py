"""Commands on secrets."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.each import each, say_nothing
from rootless.engine import Engine
from rootless.errors import InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.storage.secrets import Secret

_HEADERS = {
    "ID": "ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "CreatedAt": "CREATED",
    "UpdatedAt": "UPDATED",
    "Labels": "LABELS",
}
_SHOWN = ("ID", "Name", "Driver", "CreatedAt", "UpdatedAt")


def secret_create(
    name: str,
    source: str,
    *,
    env: bool = False,
    label: tuple[str, ...] = (),
    replace: bool = False,
    ignore: bool = False,
) -> None:
    """Keep a secret for containers."""
    from rootless.engine import secrets

    value = None
    if env:
        if source not in os.environ:
            raise InvalidRequest(f"you have no variable {source}")
        value = os.fsencode(os.environ[source])
    path = None if source == "-" else os.path.abspath(source)
    request = secrets.CreateSecretRequest(name, path, label, replace=replace, ignore=ignore)
    output.write(secrets.create(Engine.open(), request, value).id)


def secret_ls(
    *,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    quiet: bool = False,
    noheading: bool = False,
) -> None:
    """List secrets."""
    from rootless.engine import secrets

    found = secrets.list_secrets(Engine.open(), filter)
    output.listing(
        [
            {
                "ID": secret.id,
                "Name": secret.name,
                "Driver": "file",
                "CreatedAt": _ago(secret.created),
                "UpdatedAt": _ago(secret.updated),
                "Labels": ",".join(f"{k}={v}" for k, v in sorted(secret.labels.items())),
            }
            for secret in found
        ],
        _HEADERS,
        shown=_SHOWN,
        format=format,
        quiet="ID" if quiet else None,
        heading=not noheading,
        documents=map(_document, found),
    )


def _ago(moment: str) -> str:
    import time

    from rootless.cli.phrases import ago, seconds_since_1970

    return ago(time.time() - seconds_since_1970(moment))


def _document(secret: Secret) -> dict[str, Any]:
    return {
        "ID": secret.id,
        "CreatedAt": secret.created,
        "UpdatedAt": secret.updated,
        "Spec": {
            "Name": secret.name,
            "Driver": {"Name": "file", "Options": {}},
            "Labels": secret.labels,
        },
    }


def secret_inspect(
    secrets: tuple[str, ...] = (), *, format: str | None = None, showsecret: bool = False
) -> int:
    """Describe secrets, without their values."""
    from rootless.engine import secrets as store

    if not secrets:
        raise InvalidRequest("nothing is named", hint="rootless secret ls")
    engine = Engine.open()
    found: list[dict[str, Any]] = []

    def look(name: str) -> None:
        secret, value = store.inspect(engine, name, show=showsecret)
        found.append(_document(secret) | ({} if value is None else {"SecretData": value}))

    code = each(secrets, look, show=say_nothing, goes_on=True)
    output.documents(found, format)
    return code


def secret_rm(secrets: tuple[str, ...] = (), *, all: bool = False, ignore: bool = False) -> int:
    """Remove secrets."""
    from rootless.engine import secrets as store

    engine = Engine.open()
    if all == bool(secrets):
        raise InvalidRequest("give names of secrets, or --all", hint="rootless secret ls")
    names = tuple(secret.name for secret in store.list_secrets(engine)) if all else secrets

    def remove(name: str) -> None:
        try:
            output.write(store.remove(engine, name))
        except NotFound:
            if not ignore:
                raise

    return each(names, remove, show=say_nothing)


def secret_exists(secret: str) -> int:
    """Exit with 0 if the secret exists, with 1 if not."""
    from rootless.engine import secrets

    return 0 if secrets.exists(Engine.open(), secret) else 1
