"""The kernel's overlay, mounted inside the user namespace (Linux >= 5.11)."""

from __future__ import annotations

import os

from rootless.errors import HostLacks
from rootless.rootfs import Rootfs
from rootless.storage.driver import layer_form
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap

MOST_LAYERS = 500  # OVL_MAX_STACK


class Overlay:
    """Layers lie as overlayfs wants them below an upper directory: nothing is copied to start."""

    name = "overlay"

    def __init__(self, paths: Paths, id_map: IdMap):
        self.form = layer_form("overlay", id_map)
        self._paths = paths
        self._id_map = id_map

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str, *, volatile: bool = False) -> Rootfs:
        """Stack the layers of ``chain`` below ``bundle/upper``."""
        if len(chain) > MOST_LAYERS and self.name == Overlay.name:
            raise HostLacks(
                f"the kernel's overlay stacks {MOST_LAYERS} layers, and this image has {len(chain)}",
                hint="ROOTLESS_STORAGE_DRIVER=fuse-overlayfs (or vfs) for this command, or make fewer"
                " layers with `rootless build --squash-all`",
            )
        lower = lower_directories(self._paths, self.form.name, chain, bundle)
        self._make_upper(f"{bundle}/upper", lower[0])
        _make_directory(f"{bundle}/work")
        # userxattr: trusted.* is out of reach in a user namespace (Linux 5.11).
        options = ("userxattr", "volatile") if volatile else ("userxattr",)
        return Rootfs(self.name, lower, f"{bundle}/upper", f"{bundle}/work", options)

    def _make_upper(self, upper: str, top: str) -> None:
        """The upper directory is what is seen as the root: it looks as that of the top layer."""
        if not _make_directory(upper):
            return
        status = os.stat(top)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            from rootless.userns import enter

            enter.call(lambda: os.chown(upper, *_owner(top)), self._id_map)
            enter.call(lambda: os.chmod(upper, status.st_mode & 0o7777), self._id_map)
            return
        os.chmod(upper, status.st_mode & 0o7777)


def _owner(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_uid, status.st_gid


def lower_directories(
    paths: Paths, form: str, chain: tuple[ChainID, ...], bundle: str
) -> tuple[str, ...]:
    """The directories of the layers, top first; an empty one for an image without layers."""
    if not chain:
        empty = f"{bundle}/empty"  # overlayfs insists on a lower directory
        _make_directory(empty)
        return (empty,)
    return tuple(f"{paths.layer(form, each)}/diff" for each in reversed(chain))


def _make_directory(path: str) -> bool:
    """Whether it was not there before; its mode does not depend on the umask."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    os.chmod(path, 0o755)
    return True
