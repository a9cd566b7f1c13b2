"""HOST SIDE: which storage driver stacks the layers: the one that was asked for, or the best that works."""

from __future__ import annotations

import os

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rootless.paths import Paths
    from rootless.storage.driver import Driver
    from rootless.userns.idmap import IdMap

DRIVERS = ("overlay", "fuse-overlayfs", "vfs")  # the best first


class DriverFacts(Protocol):
    """What the choice of a driver needs to know about the host (``host.HostFacts`` has it)."""

    @property
    def native_overlay(self) -> bool: ...
    @property
    def fuse_overlayfs(self) -> str | None: ...


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
