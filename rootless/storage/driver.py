"""Drivers: ways to keep unpacked layers and to stack them.  The protocol, the table, the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rootless.image.digest import ChainID
    from rootless.rootfs import Rootfs


class LayerForm(NamedTuple):
    """How a layer lies on disk; ``name`` is the directory below ``layers/``.

    ``whiteouts`` is ``overlay`` (character device 0:0 and the xattr user.overlay.opaque) or ``aufs``
    (``.wh.`` files, as in the layer tar).  With ``owners`` ``xattr`` everything belongs to the caller
    and user.containers.override_stat holds ``uid:gid:mode`` of a file whose ids do not fit.
    """

    name: str
    whiteouts: str
    owners: str


class Driver(Protocol):
    """Keeps unpacked layers and stacks them.  Every method may be repeated after a crash."""

    name: str
    form: LayerForm

    def rootfs(self, chain: tuple[ChainID, ...], bundle: str) -> Rootfs:
        """What to mount for a new or existing container; makes ``upper`` and ``work`` in ``bundle``.

        ``chain`` is base first; its layers are unpacked already.  Runs on the host side.
        """
        ...
