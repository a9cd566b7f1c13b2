"""Secrets: ``secrets/<name>/{secret.json,value}``, all of it 0700 and 0600.  HOST SIDE."""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.paths import Paths

LARGEST_BYTES = 512_000  # as docker and podman have it
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _FIRST | frozenset("_.-")


class Secret(NamedTuple):
    """What is known of a secret but its value; times are RFC 3339."""

    name: str
    id: str
    created: str
    updated: str
    labels: dict[str, str]


class Secrets:
    """The secrets of one user."""

    def __init__(self, paths: Paths):
        self._paths = paths

    def create(
        self,
        name: str,
        value: bytes,
        *,
        now: str,
        labels: dict[str, str] | None = None,
        replace: bool = False,
    ) -> Secret:
        """Keep a value under a name.  Raises Conflict for one that is taken, InvalidRequest."""
        check_name(name)
        if not 0 < len(value) <= LARGEST_BYTES:
            raise InvalidRequest(f"secret {name}: a value has 1 to {LARGEST_BYTES} bytes")
        os.makedirs(self._paths.secrets, mode=0o700, exist_ok=True)
        with files.lock(f"{self._paths.data}/secrets.lock"):
            created = now
            if os.path.isdir(self._directory(name)):
                if not replace:
                    raise Conflict(
                        f"the secret {name} exists already", hint="--replace, or another name"
                    )
                created = self.get(name).created
                self._remove(name)
            secret = Secret(name, files.random_name(13)[:25], created, now, labels or {})
            with files.scratch(self._paths.scratch, "secret") as directory:
                files.write_atomic(f"{directory}/value", value)
                files.write_atomic(
                    f"{directory}/secret.json", json.dumps(secret._asdict()).encode()
                )
                files.publish(directory, self._directory(name))
        return secret

    def get(self, name_or_id: str) -> Secret:
        """A secret by name, id or unambiguous beginning of an id.  Raises NotFound, InvalidRequest."""
        if _is_name(name_or_id) and os.path.isdir(self._directory(name_or_id)):
            return self._read(name_or_id)
        found = [each for each in self.all() if name_or_id and each.id.startswith(name_or_id)]
        if not found:
            raise NotFound(
                f"no secret {name_or_id}", hint=f"rootless secret create {name_or_id} FILE"
            )
        if len(found) > 1:
            raise InvalidRequest(f"{name_or_id} is the beginning of {len(found)} ids")
        return found[0]

    def value(self, secret: Secret) -> bytes:
        """The value.  Raises NotFound."""
        try:
            return files.read_bytes(f"{self._directory(secret.name)}/value")
        except FileNotFoundError:
            raise NotFound(f"no secret {secret.name}") from None

    def all(self) -> list[Secret]:
        """Every secret, by name."""
        found = []
        for name in files.names_in(self._paths.secrets):
            try:
                found.append(self._read(name))
            except NotFound:
                continue  # removed meanwhile
        return found

    def remove(self, name_or_id: str) -> Secret:
        """Forget a secret; containers that were made with it keep theirs.  Raises NotFound."""
        with files.lock(f"{self._paths.data}/secrets.lock"):
            secret = self.get(name_or_id)
            self._remove(secret.name)
        return secret

    def _remove(self, name: str) -> None:
        os.makedirs(self._paths.trash, mode=0o700, exist_ok=True)
        doomed = f"{self._paths.trash}/{files.random_name()}"
        os.rename(self._directory(name), doomed)
        files.remove_tree(doomed)

    def _directory(self, name: str) -> str:
        return f"{self._paths.secrets}/{name}"

    def _read(self, name: str) -> Secret:
        try:
            return Secret(**json.loads(files.read_bytes(f"{self._directory(name)}/secret.json")))
        except FileNotFoundError:
            raise NotFound(f"no secret {name}", hint="rootless secret ls") from None
        except (ValueError, TypeError) as error:
            raise StoreFailed(f"the record of the secret {name} is damaged: {error}") from None


def _is_name(text: str) -> bool:
    return bool(text) and len(text) <= 253 and text[0] in _FIRST and _NAME.issuperset(text)


def check_name(name: str) -> str:
    """A secret's name, which is safe as a path.  Raises InvalidRequest."""
    if not _is_name(name):
        raise InvalidRequest(
            f"{name!r} is no name for a secret",
            hint="letters, digits, '_', '.' and '-', beginning with a letter or digit",
        )
    return name
