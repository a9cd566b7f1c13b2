"""Unpacked layers: which there are, unpacking more, and making one of what a container changed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rootless.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.digest import ChainID, DiffID, Digest
    from rootless.paths import Paths
    from rootless.rootfs import Rootfs
    from rootless.storage.driver import LayerForm
    from rootless.userns.idmap import IdMap


class LayerTar(NamedTuple):
    """A layer as a blob: what ``commit`` wrote to ``path``."""

    diff_id: DiffID
    digest: Digest
    size_bytes: int
    media_type: str
    path: str
    chain_id: ChainID


class Unpacked(NamedTuple):
    """A layer that is in its place now; ``notices`` are sentences for the user."""

    chain_id: ChainID
    size_bytes: int
    notices: tuple[str, ...] = ()


class Layers:
    """The unpacked layers of one user in one form."""

    def __init__(self, paths: Paths, id_map: IdMap, form: LayerForm):
        self.form = form
        self._paths = paths
        self._id_map = id_map

    def has(self, chain_id: ChainID) -> bool:
        """Whether the layer is unpacked; then its parents are as well."""
        return os.path.exists(self._paths.layer(self.form.name, chain_id))

    def path(self, chain_id: ChainID) -> str:
        """The directory with the layer's files."""
        return f"{self._paths.layer(self.form.name, chain_id)}/diff"

    @contextmanager
    def unpacker(self) -> Iterator[Unpacker]:
        """Start what unpacks layers.  Call it while the process has one thread; then submit from any.

        Leaving the block ends the work that is not done.
        """
        yield Unpacker()

    def commit(
        self,
        rootfs: Rootfs,
        *,
        bundle: str,
        parent: ChainID | None,
        output: str,
        compression: str = "gzip",
        timestamp: int | None = None,
        skip: tuple[str, ...] = (),
        consume: bool = True,
    ) -> LayerTar:
        """Make a layer of the changes in a container: the blob at ``output`` and the unpacked layer.

        ``skip`` names paths inside that are not part of it (mount targets, volumes).  With ``consume``
        the container is not used any more, so its upper directory becomes the layer by renaming.
        ``timestamp`` is the latest time a file may have.
        """
        raise Unsupported("committing layers is not complete yet")

    def remove(self, path: str) -> None:
        """Remove a tree of ours in which files may belong to subordinate ids."""
        raise Unsupported("removing trees is not complete yet")


class Unpacker:
    """Unpacks layers in processes of their own, several at a time."""

    def submit(
        self,
        source_fd: int,
        *,
        compression: str,
        chain_id: ChainID,
        parent: ChainID | None,
        diff_id: DiffID,
    ) -> None:
        """Unpack what can be read from ``source_fd`` (a file or a pipe), which the caller then closes.

        ``compression`` is ``gzip``, ``zstd`` or ``none``.  Parents may be submitted later or be there.
        """
        raise Unsupported("unpacking layers is not complete yet")

    def wait(self) -> list[Unpacked]:
        """Wait for everything submitted.  Raises ImageRefused or StoreFailed of the first that failed."""
        return []
