"""What a storage driver is: a way to keep unpacked layers and to stack them."""

from __future__ import annotations

from binascii import crc32

from rootless.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap


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


def layer_form(whiteouts: str, id_map: IdMap) -> LayerForm:
    """The form of layers for this id map.

    The name tells maps apart: the owners on disk mean something else under another map, so layers
    are unpacked anew when the subordinate range of a user changes.
    """
    kind = "overlay" if whiteouts == "overlay" else "vfs"
    numbers = [tuple(each) for each in (*id_map.uids, *id_map.gids)]
    name = f"{kind}-{crc32(repr(numbers).encode()):08x}"
    return LayerForm(name, whiteouts, "xattr" if id_map.is_single else "ids")
