"""Drivers: ways to keep unpacked layers and to stack them.  The protocol, the table, the choice."""

from __future__ import annotations

import os
from binascii import crc32

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.paths import Paths
    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap

DRIVERS = ("overlay", "fuse-overlayfs", "vfs")  # the best first


class LayerForm(NamedTuple):
    """How a layer lies on disk; ``name`` is the directory below ``layers/``.

    ``whiteouts`` is ``overlay`` (character device 0:0 and the xattr user.overlay.opaque) or ``aufs``
    (``.wh.`` files, as in the layer tar).  With ``owners`` ``xattr`` everything belongs to the caller
    and user.containers.override_stat holds ``uid:gid:mode`` of a file whose ids do not fit; with
    ``ids`` only files whose ids lie outside the id map are kept so.
    """

    name: str
    whiteouts: str
    owners: str


class Driver(Protocol):
    """Keeps unpacked layers and stacks them.  Every method may be repeated after a crash."""

    name: str
    form: LayerForm

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """What to mount for a new or existing container; makes ``upper`` and ``work`` in ``bundle``.

        ``chain`` is base first; its layers are unpacked already.  Runs on the host side.  With
        ``volatile`` nothing written needs to survive a crash of the machine, which saves the syncs
        (``run --rm``, build steps).
        """
        ...


class DriverFacts(Protocol):
    """What the choice of a driver needs to know about the host (``host.HostFacts`` has it)."""

    @property
    def native_overlay(self) -> bool: ...
    @property
    def fuse_overlayfs(self) -> str | None: ...


def layer_form(whiteouts: str, id_map: IdMap) -> LayerForm:
    """The form of layers for this id map.

    The name tells maps apart: the owners on disk mean something else under another map, so layers
    are unpacked anew when the subordinate range of a user changes.
    """
    kind = "overlay" if whiteouts == "overlay" else "vfs"
    numbers = [tuple(each) for each in (*id_map.uids, *id_map.gids)]
    name = f"{kind}-{crc32(repr(numbers).encode()):08x}"
    return LayerForm(name, whiteouts, "xattr" if id_map.is_single else "ids")


def pick_driver(host: DriverFacts, paths: Paths, id_map: IdMap) -> Driver:
    """The driver that was asked for, or the best one that works here.

    ``ROOTLESS_STORAGE_DRIVER`` wins over ``driver`` in the ``[storage]`` table of config.toml.
    Raises HostLacks when the one asked for does not work here.
    """
    asked = os.environ.get("ROOTLESS_STORAGE_DRIVER") or _configured(f"{paths.config}/config.toml")
    if asked and asked not in DRIVERS:
        raise InvalidRequest(
            f"unknown storage driver {asked!r}", hint=f"one of {', '.join(DRIVERS)}"
        )
    if asked in (None, "overlay") and host.native_overlay:
        from rootless.storage.overlay import Overlay

        return Overlay(paths, id_map)
    if asked == "overlay":
        raise HostLacks(
            "this kernel does not mount overlay in a user namespace",
            hint="ROOTLESS_STORAGE_DRIVER=fuse-overlayfs or vfs; rootless doctor says why",
        )
    if asked in (None, "fuse-overlayfs") and host.fuse_overlayfs:
        from rootless.storage.fuse_overlayfs import FuseOverlayfs

        return FuseOverlayfs(paths, id_map)
    if asked == "fuse-overlayfs":
        raise HostLacks(
            "fuse-overlayfs does not work here",
            hint="install the package fuse-overlayfs and give access to /dev/fuse, "
            "or ROOTLESS_STORAGE_DRIVER=vfs",
        )
    from rootless.storage.vfs import Vfs

    return Vfs(paths, id_map)


def _configured(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    if b"storage" not in text:  # reading TOML costs milliseconds on the way of every run
        return None
    import tomllib

    try:
        table = tomllib.loads(text.decode())
        driver = table.get("storage", {}).get("driver")
    except (ValueError, AttributeError) as error:
        raise InvalidRequest(f"{path}: {error}") from None
    if driver is not None and not isinstance(driver, str):
        raise InvalidRequest(f"{path}: storage.driver is not a string")
    return driver
