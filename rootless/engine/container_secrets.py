"""``--secret``: values for one container, copied to its bundle, so that it starts again as it was made.

They are shown in memory, or put into the environment when the program starts: neither a layer nor the
runtime-spec document, and so no ``inspect``, has them.
"""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import InvalidRequest, StoreFailed
from rootless.runtime.options import Mount
from rootless.storage.secrets import Secrets
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine

_DIRECTORY = "/run/secrets"


class SecretUse(NamedTuple):
    """One ``--secret``; ``target`` is a path or the name of a variable."""

    name: str
    kind: str = "mount"
    target: str = ""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


def parse(text: str) -> SecretUse:
    """``NAME[,type=mount|env][,target=][,uid=][,gid=][,mode=]``.  Raises InvalidRequest."""
    name, *fields = text.split(",")
    given = {"source": name.removeprefix("source=").removeprefix("src=")}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or key not in ("type", "target", "uid", "gid", "mode") or key in given:
            raise InvalidRequest(
                f"--secret {text}: {field!r}", hint="NAME,type=mount|env,target=,uid=,gid=,mode="
            )
        given[key] = value
    kind = given.get("type", "mount")
    if kind not in ("mount", "env"):
        raise InvalidRequest(f"--secret {text}: type is mount or env, not {kind}")
    if kind == "env" and {"uid", "gid", "mode"}.intersection(given):
        raise InvalidRequest(f"--secret {text}: a variable has no owner and no mode")
    return SecretUse(
        given["source"],
        kind,
        _target(text, given.get("target") or given["source"], kind),
        _number(text, given.get("uid", "0"), 10),
        _number(text, given.get("gid", "0"), 10),
        _number(text, given.get("mode", "444"), 8),
    )


def _number(text: str, digits: str, base: int) -> int:
    allowed = "01234567" if base == 8 else "0123456789"
    if not digits or set(digits) - set(allowed) or len(digits) > 10:
        raise InvalidRequest(f"--secret {text}: {digits!r} is no number")
    return int(digits, base)


def _target(text: str, target: str, kind: str) -> str:
    if kind == "env":
        if "=" in target or "\0" in target:
            raise InvalidRequest(f"--secret {text}: {target!r} is no name of a variable")
        return target
    if target.startswith("/"):
        from rootless.runtime.parameters import check_target

        path = check_target(target)
        return path.removeprefix(f"{_DIRECTORY}/")
    if any(part in ("", ".", "..") for part in target.split("/")):
        raise InvalidRequest(f"--secret {text}: {target!r} does not lie below {_DIRECTORY}")
    return target


def gather(
    engine: Engine, texts: tuple[str, ...], scratch: str, bundle: str
) -> tuple[tuple[Mount, ...], list[dict[str, Any]]]:
    """The mount that shows them and their description for the record; the values go to ``scratch``.

    Raises NotFound for a secret that is not there, InvalidRequest.
    """
    store = Secrets(engine.paths)
    described: list[dict[str, Any]] = []
    options = ["nosuid", "nodev", "noexec", f"secrets={bundle}/secrets"]
    os.mkdir(f"{scratch}/secrets", 0o700)
    targets: set[tuple[str, str]] = set()
    for number, use in enumerate(map(parse, texts)):
        secret = store.get(use.name)
        if (use.kind, use.target) in targets:
            raise InvalidRequest(f"two secrets on {use.target} were asked for")
        targets.add((use.kind, use.target))
        value = store.value(secret)
        if use.kind == "env" and b"\0" in value:
            raise InvalidRequest(f"secret {use.name} has a zero byte, which no variable can hold")
        files.write_atomic(f"{scratch}/secrets/{number}", value, durable=False)
        described.append({"Name": secret.name, "ID": secret.id, "File": number, **_shown(use)})
        if use.kind == "mount":
            options.append(f"secret={use.mode:o}:{use.uid}:{use.gid}:{number}:{use.target}")
    if not any(each.startswith("secret=") for each in options):
        return (), described
    return (Mount("tmpfs", "tmpfs", _DIRECTORY, tuple(options)),), described


def _shown(use: SecretUse) -> dict[str, Any]:
    return {
        "Type": use.kind,
        "Target": use.target,
        "UID": use.uid,
        "GID": use.gid,
        "Mode": use.mode,
    }


def variables(described: list[dict[str, Any]], bundle: str) -> dict[str, str]:
    """The variables of a container that are secrets.  Raises StoreFailed."""
    found = {}
    for each in described:
        if each["Type"] == "env":
            try:
                value = files.read_bytes(f"{bundle}/secrets/{each['File']}")
            except OSError as error:
                raise StoreFailed(
                    f"cannot read the secret {each['Name']}: {error.strerror}"
                ) from None
            found[each["Target"]] = os.fsdecode(value)
    return found


def environment(described: list[dict[str, Any]], bundle: str) -> list[str]:
    """The same as NAME=VALUE."""
    return [f"{name}={value}" for name, value in variables(described, bundle).items()]
