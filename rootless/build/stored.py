"""Layers that a record of the cache names: there, fetched, or unpacked again."""

from __future__ import annotations

from rootless.image.digest import chain_id
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.build.cache import Record
    from rootless.build.workshop import Workshop
    from rootless.image.digest import ChainID


def is_usable(workshop: Workshop, record: Record, parent: ChainID | None) -> bool:
    """Whether the layer of a record is there, blob and all; one that only has a blob is unpacked."""
    if not workshop.layout.has_blob(record.digest) and not workshop.fetch(record):
        return False
    if not workshop.layers.has(chain_id(parent, record.diff_id)):
        unpack(workshop, record, parent)
    return True


def unpack(workshop: Workshop, record: Record, parent: ChainID | None) -> None:
    """Unpack a stored blob on top of a parent."""
    compression = record.media_type.rpartition("+")[2] if "+" in record.media_type else "none"
    with (
        workshop.layers.unpacker() as unpacker,
        workshop.layout.open_blob(record.digest) as blob,
    ):
        unpacker.submit(
            blob.fileno(),
            compression=compression,
            chain_id=chain_id(parent, record.diff_id),
            parent=parent,
            diff_id=record.diff_id,
        )
        unpacker.wait()
