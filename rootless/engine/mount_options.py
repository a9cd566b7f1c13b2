"""The options of one mount: which go to the kernel, which are ours, and which cannot be."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.requests import MountRequest
from rootless.errors import InvalidRequest, NotFound, Unsupported
from rootless.runtime.options import Mount
from rootless.storage.volumes import check_name, check_options
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.runtime.users import User

PROPAGATION = frozenset(
    ("shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable")
)
# What says how a volume is made or filled, and is not for mount(2).
_OURS = frozenset(("nocreate", "copy", "nocopy", "z", "Z", "U", "O", "rrw"))
_KEYS = ("volume-opt=", "volume-label=", "volume-driver=")
# Whose owner nobody means to change: the machine would not be the same afterwards.
_WHOLE = frozenset(
    ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt")
    + ("/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/tmp")
)


class VolumeUse(NamedTuple):
    """A volume that a container mounts; ``copy`` says whether the image's content goes there.

    ``part``: only something below it is mounted, so it is not the place for that content.
    """

    name: str
    target: str
    anonymous: bool
    copy: bool
    part: bool
    labels: dict[str, str]
    options: dict[str, str]


def volume_use(request: MountRequest, target: str) -> VolumeUse:
    """What ``-v NAME:DIR`` or ``--mount type=volume`` says of the volume.  Raises InvalidRequest, Unsupported."""
    given: dict[str, dict[str, str]] = {"volume-opt": {}, "volume-label": {}}
    for each in request.options:
        if not each.startswith(_KEYS):
            continue
        kind, _, pair = each.partition("=")
        key, _, value = pair.partition("=")
        if kind == "volume-driver":
            check_driver(key)
        else:
            given[kind][key] = value
    return VolumeUse(
        name=check_name(request.source) if request.source else files.random_name(32),
        target=target,
        anonymous=not request.source,
        copy="nocopy" not in request.options,
        part=_value(request, "subpath") is not None,
        labels=given["volume-label"],
        options=check_options(given["volume-opt"]),
    )


def check_driver(name: str) -> None:
    """Raise Unsupported for a volume driver other than ``local``."""
    if name != "local":
        raise Unsupported(f"volume driver {name} is not supported", hint="local is the only one")


def check_source(request: MountRequest) -> None:
    """A missing source is an error for ``--mount``, and made for ``-v``."""
    if os.path.exists(request.source):
        return
    if "nocreate" in request.options or os.path.lexists(request.source):
        raise NotFound(
            f"no file or directory {request.source}", hint=f"mkdir -p {request.source}, or use -v"
        )
    try:
        os.makedirs(request.source)
    except OSError as error:
        raise InvalidRequest(
            f"cannot make the directory {request.source}: {error.strerror}"
        ) from None


def bind_options(request: MountRequest, source: str, user: User) -> tuple[str, ...]:
    """For a bind mount.  Read-only means all that is mounted below as well, unless ``rrw`` says no."""
    options = []
    for each in request.options:
        if each.startswith("idmap"):
            raise Unsupported(
                "idmapped mounts need root", hint="U changes the owners of the files themselves"
            )
        if each.startswith(("upperdir=", "workdir=")):
            raise InvalidRequest(f"{each.partition('=')[0]}= goes with O only")
        if each not in _OURS and not each.startswith(_KEYS):
            options.append(each)
    if "ro" in options and not {"bind", "rrw"}.intersection(request.options):
        options[options.index("ro")] = "rro"
    return (*options, *_given_away(request, source, user))


def _given_away(request: MountRequest, source: str, user: User) -> tuple[str, ...]:
    """``U``, unless it is a place whose owner nobody means to change."""
    if "U" not in request.options:
        return ()
    path = os.path.realpath(source)
    if path in _WHOLE or path == os.path.realpath(os.path.expanduser("~")):
        raise InvalidRequest(
            f"U would give all of {path} to the container's user", hint="name a directory below it"
        )
    return (f"chown={user.uid}:{user.gid}",)


def overlay_options(request: MountRequest, source: str, user: User) -> tuple[str, ...]:
    """For a mount with ``O``: ``ro``, ``subpath=``, and both or none of ``upperdir=`` and ``workdir=``.

    ``U`` changes the owners of the directory itself, as podman does: what is written above is the user's anyway.
    """
    if not os.path.isdir(source) and request.type == "bind":
        raise InvalidRequest(f"{source} is no directory, and O stacks directories only")
    places = [each for each in request.options if each.startswith(("upperdir=", "workdir="))]
    for each in places:
        path = each.partition("=")[2]
        if not path.startswith("/") or not os.path.isdir(path):
            raise InvalidRequest(f"{each}: not the absolute path of a directory")
    if len(places) not in (0, 2):
        raise InvalidRequest("upperdir= and workdir= go together")
    kept = ("ro", "rro", "nosuid", "nodev", "noexec")
    chosen = (
        each
        for each in request.options
        if each in kept or each.startswith(("upperdir=", "workdir=", "subpath="))
    )
    return (*chosen, *_given_away(request, source, user))


def image_options(request: MountRequest) -> tuple[str, ...]:
    """For an image; raises Unsupported for what only directories of the host can have."""
    for each in request.options:
        if each not in ("ro", "rw", "nosuid", "nodev", "noexec") and not each.startswith(
            "subpath="
        ):
            raise Unsupported(f"the mount of image {request.source} cannot have {each}")
    return tuple(each for each in request.options if each not in ("ro", "rw"))


def in_memory(request: MountRequest, target: str, user: User) -> Mount:
    """tmpfs with podman's defaults, ramfs, devpts."""
    kind, given = request.type, request.options
    if kind == "ramfs" and any(each.startswith(("size=", "nr_")) for each in given):
        raise Unsupported("a ramfs has no limit", hint="type=tmpfs has")
    defaults = ("nosuid", "noexec", "newinstance") if kind == "devpts" else ("nosuid", "nodev")
    options = [each for each in defaults if each.removeprefix("no") not in given]
    options += [each for each in given if each not in ("tmpcopyup", "notmpcopyup", "U")]
    if "U" in given:
        options += [f"uid={user.uid}", f"gid={user.gid}"]
    if kind == "tmpfs" and "notmpcopyup" not in given:
        options.append("copy-up")
    if kind == "tmpfs" and not any(each.startswith("mode=") for each in given):
        options.append("mode=1777")
    return Mount(kind, kind, target, tuple(options))


def of_volume(request: MountRequest, words: str) -> MountRequest:
    """The tmpfs that a container gets for a volume with type=tmpfs, whose ``o`` is ``words``."""
    options = list(filter(None, words.split(",")))
    for each in request.options:
        if each == "O" or each.startswith("subpath="):
            raise InvalidRequest(f"volume {request.source} is in memory and cannot have {each}")
        if each == "nocopy":
            options.append("notmpcopyup")
        elif each == "U" or (each not in _OURS | PROPAGATION and not each.startswith(_KEYS)):
            options.append(each)
    return MountRequest("tmpfs", "", request.target, tuple(options))


def _value(request: MountRequest, key: str) -> str | None:
    for each in request.options:
        if each.startswith(f"{key}="):
            return each.partition("=")[2]
    return None
