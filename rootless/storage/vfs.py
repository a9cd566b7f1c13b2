"""No overlay at all: every container gets a copy of its image's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootless.errors import Unsupported
from rootless.rootfs import Rootfs
from rootless.storage.driver import layer_form

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap


class Vfs:
    """The last resort: slow and large, but it works everywhere."""

    name = "vfs"

    def __init__(self, paths: Paths, id_map: IdMap):
        self.form = layer_form("aufs", id_map)
        self._paths = paths
        self._id_map = id_map

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """Copy the layers of ``chain`` into ``bundle/rootfs``, once."""
        root = f"{bundle}/rootfs"
        if not os.path.isdir(root):
            raise Unsupported("the storage driver vfs is not complete yet")
        return Rootfs(self.name, (root,))
