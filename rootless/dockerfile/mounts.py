"""``RUN --mount=...`` and ``--device=...``: fields → values.  Pure; ValueError says what is wrong."""

from __future__ import annotations

from rootless.dockerfile.instructions import Device, Mount
from rootless.dockerfile.problems import did_you_mean
from rootless.dockerfile.quantities import boolean, size_bytes, unsigned
from rootless.dockerfile.words import split_fields
from rootless.typed import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_T = TypeVar("_T")
SHARING = ("shared", "private", "locked")
# What Podman's parser takes besides.
_PODMAN = {
    **dict.fromkeys(("z", "Z", "relabel"), "leave it out: nothing is relabelled for SELinux"),
    **dict.fromkeys(("U", "tmpcopyup"), "leave it out: BuildKit has no such option"),
}
_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required"),
    *("size", "mode", "uid", "gid", "env", *_ALIASES),
)


class Misspelt(ValueError):
    """A ValueError that knows the nearest right word, or another remedy."""

    def __init__(self, message: str, word: str, names: Iterable[str]):
        super().__init__(message)
        self.hint = _PODMAN.get(word) or did_you_mean(word, names)


def unresolved_mount(text: str) -> Mount:
    """What can be said before variables have values: the tree that it comes from."""
    from_name = ""
    for field in split_fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value[:-1]:
                raise ValueError(
                    "'from' doesn't support variable expansion, define alias stage instead"
                )
            from_name = value
    return Mount(text, from_name=from_name)


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """The mount with its variables replaced, and checked.

    Fields are read in order, as in BuildKit: ``required`` and ``size`` need their ``type`` before.
    """
    mount = Mount(text)
    read_only: bool | None = None
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if not equals and key not in ("readonly", "readwrite", "required"):
            message = f"invalid field '{field}' must be a key=value pair"
            raise Misspelt(message, field, _KEYS)
        value = expand(value) if equals else "true"
        if key in ("readonly", "readwrite"):
            read_only = _checked(key, value, boolean) == (key == "readonly")
        elif key not in _KEYS:
            raise Misspelt(f"unexpected key '{key}' in '{field}'", key, _KEYS)
        else:
            mount = _with_field(mount, key, value)
    if read_only is None:
        read_only = mount.type not in ("cache", "tmpfs")
    mount = mount._replace(read_only=read_only)
    _check(mount)
    return mount


def _with_field(mount: Mount, key: str, value: str) -> Mount:
    match key:
        case "type":
            return mount._replace(type=_one_of(value, TYPES, "mount type"))
        case "sharing":
            return mount._replace(sharing=_one_of(value, SHARING, "sharing value"))
        case "from":
            return mount._replace(from_name=value)
        case "source":
            return mount._replace(source=value)
        case "target":
            return mount._replace(target=value)
        case "id":
            return mount._replace(id=value)
        case "env":
            return mount._replace(env=value)
        case "required":
            _only_for(mount, key, ("secret", "ssh"))
            return mount._replace(required=_checked(key, value, boolean))
        case "size":
            _only_for(mount, key, ("tmpfs",))
            return mount._replace(size_bytes=_checked(key, value, size_bytes))
        case "mode":
            return mount._replace(mode=_checked(key, value, lambda text: unsigned(text, base=8)))
        case "uid":
            return mount._replace(uid=_checked(key, value, unsigned))
        case _:
            return mount._replace(gid=_checked(key, value, unsigned))


def _one_of(value: str, names: tuple[str, ...], what: str) -> str:
    if value.lower() not in names:
        raise Misspelt(f'unsupported {what} "{value}"', value.lower(), names)
    return value.lower()


def _only_for(mount: Mount, key: str, types: tuple[str, ...]) -> None:
    if mount.type not in types:
        raise ValueError(f"unexpected key '{key}' for mount type '{mount.type}'")


def _checked(key: str, value: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _check(mount: Mount) -> None:
    """The rules between fields."""
    if mount.type not in ("secret", "ssh", "cache"):
        for key in ("mode", "uid", "gid"):
            if getattr(mount, key) is not None:
                raise ValueError(f'{key} not allowed for "{mount.type}" type mounts')
    if mount.type == "secret":
        _check_secret(mount)
    if mount.type == "ssh" and mount.source:
        raise ValueError("ssh mount does not support source")
    if mount.sharing and mount.type != "cache":
        raise ValueError(f"invalid cache sharing set for {mount.type} mount")


def _check_secret(mount: Mount) -> None:
    if mount.from_name:
        raise ValueError("secret mount should not have a from")
    if mount.sharing:
        raise ValueError("secret mount should not define sharing")
    if not (mount.source or mount.target or mount.id):
        raise ValueError("invalid secret mount. one of source, target required")
    if mount.source and mount.id:
        raise ValueError("both source and id can't be set")


def parse_device(text: str) -> Device:
    """``vendor.com/class=name[,required[=true]]``, or ``name=...``."""
    name, required = "", False
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key == "required":
            required = _checked(key, value, boolean) if equals else True
        elif key == "name" and equals:
            if name:
                raise ValueError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        elif not equals:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        else:
            raise Misspelt(f"unexpected key '{key}' in '{field}'", key, ("name", "required"))
    return Device(name, required)
