"""The layers of one image on their way into trees, wherever their blobs come from."""

from __future__ import annotations

import os

from rootless.errors import NotFound, StoreFailed
from rootless.events import Notice, Transfer, ignore
from rootless.image.digest import encoded
from rootless.image.documents import layer_compression
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.digest import ChainID
    from rootless.image.documents import Image
    from rootless.storage.unpacker import Unpacker


def packed_layers(engine: Engine, image: Image) -> frozenset[ChainID]:
    """The layers of an image that are not unpacked."""
    return frozenset(each for each in image.chain if not engine.layers.has(each))


class Unpacking:
    """Submits layers of ``image`` to an unpacker; those that are unpacked already are left out."""

    def __init__(
        self,
        engine: Engine,
        image: Image,
        *,
        unpacker: Unpacker | None,
        packed: frozenset[ChainID],
    ):
        self._engine = engine
        self._image = image
        self._unpacker = unpacker
        self._packed = packed

    def wants(self, index: int) -> bool:
        """Whether the layer is not unpacked yet."""
        return self._image.chain[index] in self._packed

    def submit(self, index: int, fd: int) -> None:
        """Unpack what can be read from ``fd``, which the caller closes."""
        assert self._unpacker is not None
        image = self._image
        self._unpacker.submit(
            fd,
            compression=layer_compression(image.manifest["layers"][index], name=image.reference),
            chain_id=image.chain[index],
            parent=image.chain[index - 1] if index else None,
            diff_id=image.config["rootfs"]["diff_ids"][index],
        )

    def submit_file(self, index: int, path: str) -> None:
        """Unpack a complete blob, if the layer is wanted."""
        if not self.wants(index):
            return
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.submit(index, fd)
        finally:
            os.close(fd)

    def wait(self, report: Report) -> None:
        """Wait until all layers are in their places.  Raises what the first failure was."""
        if self._unpacker is None:
            return
        for layer in self._image.manifest["layers"]:
            report(Transfer(encoded(layer["digest"])[:12], "unpacking", total_bytes=layer["size"]))
        for unpacked in self._unpacker.wait():
            for notice in unpacked.notices:
                report(Notice(notice, "warning"))
        left = [each for each in self._packed if not self._engine.layers.has(each)]
        if left:
            raise StoreFailed(f"{len(left)} layers of the image were not unpacked")


def unpack_stored(engine: Engine, image: Image, report: Report = ignore) -> None:
    """Unpack the layers of a stored image that are not unpacked.

    Raises NotFound when a blob that is needed is not stored.
    """
    with engine.use_store():
        unpack_from(
            engine,
            image,
            [engine.layout.blob_path(layer["digest"]) for layer in image.manifest["layers"]],
            report=report,
        )


def unpack_from(engine: Engine, image: Image, paths: list[str], *, report: Report) -> None:
    """Unpack an image whose layer blobs are the files at ``paths``, base first."""
    packed = packed_layers(engine, image)
    if not packed:
        return
    with engine.layers.unpacker() as unpacker:
        work = Unpacking(engine, image, unpacker=unpacker, packed=packed)
        for index, path in enumerate(paths):
            if work.wants(index) and not os.path.exists(path):
                name = image.reference or image.image_id
                raise NotFound(
                    f"layer {image.manifest['layers'][index]['digest']} of {name} is not stored",
                    hint=f"rootless pull {image.reference}" if image.reference else None,
                )
            work.submit_file(index, path)
        work.wait(report)
