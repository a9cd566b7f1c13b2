"""No overlay at all: every container gets a copy of its image's files."""

from __future__ import annotations

import os

from rootless.rootfs import Rootfs
from rootless.storage.driver import layer_form
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.paths import Paths
    from rootless.storage.driver import LayerForm
    from rootless.userns.idmap import IdMap


class Vfs:
    """The last resort: slow and large, but it works everywhere."""

    name = "vfs"

    def __init__(self, paths: Paths, id_map: IdMap, form: LayerForm | None = None):
        """``form``: that of another driver, whose layers are to be copied."""
        self.form = form or layer_form("aufs", id_map)
        self._paths = paths
        self._id_map = id_map

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """Copy the layers of ``chain`` into ``bundle/rootfs``, once."""
        root = f"{bundle}/rootfs"
        if not os.path.exists(_stamp(bundle)):
            self._copy(chain, bundle, root)
        return Rootfs(self.name, (root,))

    def _copy(self, chain: tuple[ChainID, ...], bundle: str, root: str) -> None:
        from rootless import files
        from rootless.storage.flatten import Flattener
        from rootless.storage.stack import Stack
        from rootless.userns import enter

        directories = tuple(
            f"{self._paths.layer(self.form.name, each)}/diff" for each in reversed(chain)
        )

        def copy() -> None:
            os.umask(0)
            files.remove_tree(root, missing_ok=True)  # what a crash left
            os.mkdir(root, 0o755)
            source = Stack(directories).open(b"")
            if source is not None:
                Flattener().copy(source, root)

        enter.call(copy, self._id_map)
        os.close(os.open(_stamp(bundle), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def copied_ns(bundle: str) -> int:
    """When the copy in a bundle was complete, as a ctime."""
    return os.stat(_stamp(bundle)).st_ctime_ns


def _stamp(bundle: str) -> str:
    return f"{bundle}/rootfs.copied"
