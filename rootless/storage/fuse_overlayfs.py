"""fuse-overlayfs, for kernels whose overlay does not mount in a user namespace."""

from __future__ import annotations

from rootless.storage.overlay import Overlay
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.rootfs import Rootfs


class FuseOverlayfs(Overlay):
    """Shares its layers with the kernel's overlay: the form on disk is the same."""

    name = "fuse-overlayfs"

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """Stack the layers of ``chain`` below ``bundle/upper``."""
        return super().rootfs(chain, bundle)._replace(options=())
