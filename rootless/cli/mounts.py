"""``-v``, ``--mount`` and ``--tmpfs`` to MountRequest.  Pure; read only when one of them is given."""

from __future__ import annotations

from rootless.cli.values import boolean, octal, size, split_colons, split_commas
from rootless.engine.requests import MountRequest
from rootless.errors import InvalidRequest, Unsupported
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PROPAGATION = {
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "unbindable",
    "runbindable",
}
_FLAGS = {
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "bind",
    "rbind",
    "rro",
    "rrw",
}
_VOLUME_WORDS = _PROPAGATION | _FLAGS | {"z", "Z", "U", "O", "copy", "nocopy", "nocreate", "idmap"}
# docker's words for macOS, which mean nothing on Linux.
_CONSISTENCY = frozenset(("cached", "consistent", "delegated"))
_VOLUME_PREFIXES = ("upperdir=", "workdir=", "subpath=", "idmap=")
_TMPFS_WORDS = _FLAGS | {
    "tmpcopyup",
    "notmpcopyup",
    "noatime",
    "relatime",
    "strictatime",
    "sync",
    "async",
}
_TMPFS_PREFIXES = ("nr_inodes=", "nr_blocks=", "uid=", "gid=", "huge=", "mpol=")
_OPPOSITES = (
    {"ro", "rw", "rro"},
    {"exec", "noexec"},
    {"suid", "nosuid"},
    {"dev", "nodev"},
    _PROPAGATION,
)


def parse_volume(text: str) -> MountRequest:
    """One ``-v``.  A source with a slash or a leading dot is a path, else the name of a volume."""
    fields = split_colons(text)
    if len(fields) > 3 or not all(fields):
        raise InvalidRequest(f"{text!r} is not of the form [SOURCE:]TARGET[:OPTIONS]")
    if len(fields) == 1:
        return MountRequest("volume", "", _target(fields[0], text))
    source, target = fields[0], _target(fields[1], text)
    given = fields[2].split(",") if len(fields) == 3 else ()
    options = tuple(each for each in given if each not in _CONSISTENCY)
    for option in options:
        if option not in _VOLUME_WORDS and not option.startswith(_VOLUME_PREFIXES):
            raise InvalidRequest(
                f"{text!r}: unknown option {option!r}",
                hint="known are " + " ".join(sorted(_VOLUME_WORDS)),
            )
    _check_opposites(options, text)
    if source[0] in "/.":
        return MountRequest("bind", source, target, options)
    if "/" in source:
        raise InvalidRequest(
            f"{text!r}: a name has no slash, and a path begins with / or .",
            hint=f"-v ./{text} for a directory below this one",
        )
    return MountRequest("volume", source, target, options)


def _target(path: str, text: str) -> str:
    if path[:1] != "/":
        raise InvalidRequest(f"{text!r}: the path inside the container must begin with /")
    return path


def _check_opposites(options: tuple[str, ...], text: str) -> None:
    for opposites in _OPPOSITES:
        both = sorted(opposites.intersection(options))
        if len(both) > 1:
            raise InvalidRequest(f"{text!r}: {both[0]} and {both[1]} contradict each other")


def parse_tmpfs(text: str) -> MountRequest:
    """One ``--tmpfs``."""
    target, colon, rest = text.partition(":")
    options = rest.split(",") if colon and rest else []
    return MountRequest(
        "tmpfs", "", _target(target, text), tuple(_tmpfs_option(word, text) for word in options)
    )


def _tmpfs_option(word: str, text: str) -> str:
    key, equals, value = word.partition("=")
    if equals and key == "size":
        return word if value.endswith("%") else f"size={size(value)}"
    if equals and key == "mode":
        return f"mode={octal(value):o}"
    if word in _TMPFS_WORDS or word.startswith(_TMPFS_PREFIXES):
        return word
    raise InvalidRequest(f"{text!r}: unknown option {word!r}")


class _Fields:
    """What the fields of one ``--mount`` have said so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.type = "volume"
        self.source = ""
        self.target = ""
        self.options: list[str] = []


def parse_mount(text: str) -> MountRequest:
    """One ``--mount``; without a type it is a volume."""
    fields = _Fields(text)
    for field in split_commas(text):
        key, equals, value = field.partition("=")
        setter = _KEYS.get(key.strip())
        if setter is None:
            raise InvalidRequest(
                f"{text!r}: unknown key {key!r}", hint="known are " + " ".join(sorted(_KEYS))
            )
        setter(fields, value if equals else "")
    if not fields.target:
        raise InvalidRequest(f"{text!r} has no target=")
    if fields.type in ("bind", "image", "glob", "artifact") and not fields.source:
        raise InvalidRequest(f"{text!r} has no source=")
    if fields.type in ("tmpfs", "devpts", "ramfs") and fields.source:
        raise InvalidRequest(f"{text!r}: a {fields.type} has no source")
    if fields.type == "bind" and fields.source[0] not in "/.":
        fields.source = f"./{fields.source}"
    if "rro" in fields.options:
        fields.options = [option for option in fields.options if option != "ro"]
    if fields.type == "bind":
        fields.options.insert(0, "nocreate")
    _check_opposites(tuple(fields.options), text)
    return MountRequest(
        fields.type, fields.source, _target(fields.target, text), tuple(fields.options)
    )


def _type(fields: _Fields, value: str) -> None:
    known = ("bind", "volume", "tmpfs", "image", "devpts", "ramfs", "glob")
    if value == "artifact":
        raise Unsupported(
            "mounts of type artifact are not supported", hint="use type=image or bind"
        )
    if value not in known:
        raise InvalidRequest(
            f"{fields.text!r}: unknown type {value!r}", hint="known are " + " ".join(known)
        )
    fields.type = value


def _source(fields: _Fields, value: str) -> None:
    fields.source = value


def _target_key(fields: _Fields, value: str) -> None:
    fields.target = value


def _switch(word: str, opposite: str = "") -> Callable[[_Fields, str], None]:
    """``key``, ``key=true`` or ``key=false`` as one of two words."""

    def setter(fields: _Fields, value: str) -> None:
        chosen = word if boolean(value or "true") else opposite
        if chosen:
            fields.options.append(chosen)

    return setter


def _propagation(fields: _Fields, value: str) -> None:
    if value not in _PROPAGATION:
        raise InvalidRequest(f"{fields.text!r}: unknown propagation {value!r}")
    fields.options.append(value)


def _recursive(fields: _Fields, value: str) -> None:
    """docker's ``bind-recursive``: read-only all the way down is asked by ``readonly``."""
    words = {"enabled": "rbind", "disabled": "bind", "writable": "rrw", "readonly": "rro"}
    if value not in words:
        raise InvalidRequest(
            f"{fields.text!r}: bind-recursive is enabled, disabled, writable or readonly"
        )
    fields.options.append(words[value])


def _relabel(fields: _Fields, value: str) -> None:
    if value not in ("shared", "private"):
        raise InvalidRequest(f"{fields.text!r}: relabel is shared or private")
    fields.options.append("z" if value == "shared" else "Z")


def _keyed(key: str) -> Callable[[_Fields, str], None]:
    """A value that travels as ``key=value``."""

    def setter(fields: _Fields, value: str) -> None:
        if not value:
            raise InvalidRequest(f"{fields.text!r}: {key}= needs a value")
        fields.options.append(f"{key}={value}")

    return setter


def _subpath(fields: _Fields, value: str) -> None:
    """What it means is below the source either way."""
    _keyed("subpath")(fields, value.lstrip("/") or ("." if value else ""))


def _tmpfs_size(fields: _Fields, value: str) -> None:
    fields.options.append(_tmpfs_option(f"size={value}", fields.text))


def _tmpfs_mode(fields: _Fields, value: str) -> None:
    fields.options.append(_tmpfs_option(f"mode={value}", fields.text))


def _further(fields: _Fields, value: str) -> None:
    """``bind-opt``/``tmpfs-opt``: one word of the other grammar."""
    if value not in _VOLUME_WORDS | _TMPFS_WORDS:
        raise InvalidRequest(f"{fields.text!r}: unknown option {value!r}")
    fields.options.append(value)


def _consistency(fields: _Fields, value: str) -> None:
    """Means something on macOS only."""


_KEYS: dict[str, Callable[[_Fields, str], None]] = {
    "type": _type,
    **dict.fromkeys(("source", "src"), _source),
    **dict.fromkeys(("target", "dst", "destination"), _target_key),
    **dict.fromkeys(("readonly", "ro"), _switch("ro")),
    "rw": _switch("rw", "ro"),
    "exec": _switch("exec", "noexec"),
    "noexec": _switch("noexec", "exec"),
    "suid": _switch("suid", "nosuid"),
    "nosuid": _switch("nosuid", "suid"),
    "dev": _switch("dev", "nodev"),
    "nodev": _switch("nodev", "dev"),
    **dict.fromkeys(("U", "chown"), _switch("U")),
    "O": _switch("O"),
    "z": _switch("z"),
    "Z": _switch("Z"),
    "bind-propagation": _propagation,
    "bind-nonrecursive": _switch("bind", "rbind"),
    "bind-recursive": _recursive,
    "relabel": _relabel,
    "idmap": _switch("idmap"),
    **{key: _keyed(key) for key in ("uid", "gid", "mode", "max")},
    "tmpfs-size": _tmpfs_size,
    "tmpfs-mode": _tmpfs_mode,
    "tmpcopyup": _switch("tmpcopyup"),
    "notmpcopyup": _switch("notmpcopyup"),
    **dict.fromkeys(("subpath", "volume-subpath", "image-subpath"), _subpath),
    "volume-nocopy": _switch("nocopy"),
    "volume-opt": _keyed("volume-opt"),
    "volume-label": _keyed("volume-label"),
    "volume-driver": _keyed("volume-driver"),
    "consistency": _consistency,
}
