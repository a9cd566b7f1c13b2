"""The kernel's overlay, mounted inside the user namespace (Linux >= 5.11)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootless.rootfs import Rootfs
from rootless.storage.driver import layer_form

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap


class Overlay:
    """Layers lie as overlayfs wants them below an upper directory: nothing is copied to start."""

    name = "overlay"

    def __init__(self, paths: Paths, id_map: IdMap):
        self.form = layer_form("overlay", id_map)
        self._paths = paths

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """Stack the layers of ``chain`` below ``bundle/upper``."""
        lower = lower_directories(self._paths, self.form.name, chain, bundle)
        for name in ("upper", "work"):
            _make_directory(f"{bundle}/{name}")
        # userxattr: trusted.* is out of reach in a user namespace (Linux 5.11).
        options = ("userxattr", "volatile") if volatile else ("userxattr",)
        return Rootfs(self.name, lower, f"{bundle}/upper", f"{bundle}/work", options)


def lower_directories(
    paths: Paths, form: str, chain: tuple[ChainID, ...], bundle: str
) -> tuple[str, ...]:
    """The directories of the layers, top first; an empty one for an image without layers."""
    if not chain:
        empty = f"{bundle}/empty"  # overlayfs insists on a lower directory
        _make_directory(empty)
        return (empty,)
    return tuple(f"{paths.layer(form, each)}/diff" for each in reversed(chain))


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        pass
    else:
        os.chmod(path, 0o755)  # it becomes the root directory of the container, whatever the umask
