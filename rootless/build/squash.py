"""``--squash`` and ``--squash-all``: the layers of a build as one, found again in the cache."""

from __future__ import annotations

import json

from rootless.build.cache import Record
from rootless.build.history import HistoryLine
from rootless.build.stored import is_usable
from rootless.image.digest import digest_of
from rootless.typed import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rootless.build.workshop import Workshop
    from rootless.image.digest import ChainID
    from rootless.image.documents import ImageConfig


def squashed(workshop: Workshop, top: ChainID, parent: ChainID | None, *, created: str) -> Record:
    """The layer on ``parent`` that stands for all up to ``top``; ``created`` is when it counts as made."""
    settings = workshop.settings
    key = digest_of(
        json.dumps(["squash", top, parent, settings.timestamp, settings.compression]).encode()
    )
    record = workshop.cache.find(key)
    if record is not None and is_usable(workshop, record, parent):
        return record
    output = f"{workshop.scratch}/squashed-{top[-16:]}"
    made = workshop.layers.squash(
        top,
        parent=parent,
        output=output,
        compression=settings.compression,
        timestamp=settings.timestamp,
    )
    workshop.layout.put_blob(made.path, made.digest)
    record = Record(made.diff_id, made.digest, made.size_bytes, made.media_type, created)
    workshop.cache.record(key, record)
    return record


def one_layer(lines: tuple[HistoryLine, ...]) -> tuple[HistoryLine, ...]:
    """The same history with all layers but the last taken away."""
    kept = max((number for number, each in enumerate(lines) if not each.empty), default=-1)
    last = kept if kept >= 0 else len(lines) - 1
    return tuple(each._replace(empty=number != last) for number, each in enumerate(lines)) or (
        HistoryLine("squashed", empty=False),
    )


def without_layers(config: ImageConfig) -> ImageConfig:
    """The configuration of a base whose layers went into the new one."""
    changed: dict[str, Any] = dict(config)
    changed["rootfs"] = {"type": "layers", "diff_ids": []}
    changed["history"] = [{**each, "empty_layer": True} for each in config.get("history", [])]
    return cast("ImageConfig", changed)
