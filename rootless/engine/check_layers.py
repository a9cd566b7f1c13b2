"""``system check`` on unpacked layers: their records, their parents, and their files against the blobs."""

from __future__ import annotations

import os

from rootless.engine.garbage import unpacked_layers
from rootless.errors import RootlessError
from rootless.image.digest import ChainID, DiffID, chain_id
from rootless.image.documents import layer_compression
from rootless.storage.compression import MEDIA_TYPES
from rootless.storage.verify import Suspect
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.check import Checkup
    from rootless.storage.layer_store import LayerRecord

_COMPRESSIONS = {media_type: name for name, media_type in MEDIA_TYPES.items()}


def check(checkup: Checkup) -> None:
    """Look at the layers of every form; only those that this host can unpack are compared."""
    engine = checkup.engine
    blobs = {} if checkup.quick else _blobs(engine)
    for path, name, record in unpacked_layers(engine):
        checkup.count("layers")
        problem = _record_problem(path, name, record)
        if problem is not None:
            checkup.find("layer", f"sha256:{name}", problem, path)
        elif os.path.dirname(path).endswith(f"/{engine.driver.form.name}"):
            _compare(checkup, path, record, blobs)


def _record_problem(path: str, name: str, record: LayerRecord) -> str | None:
    if not isinstance(record, dict) or not isinstance(record.get("diff_id"), str):
        return "has no record that can be read"
    parent = record.get("parent")
    chain = chain_id(ChainID(parent) if parent else None, DiffID(record["diff_id"]))
    if chain != f"sha256:{name}":
        return "has the record of another layer"
    if not os.path.isdir(f"{path}/diff"):
        return "has no files"
    if parent and not os.path.isdir(f"{os.path.dirname(path)}/{parent.partition(':')[2]}"):
        return f"lacks its parent {parent}"
    return None


def _compare(
    checkup: Checkup, path: str, record: LayerRecord, blobs: dict[str, tuple[str, str]]
) -> None:
    engine = checkup.engine
    chain = f"sha256:{os.path.basename(path)}"
    digest, compression = blobs.get(record["diff_id"], ("", ""))
    if not digest or digest in checkup.broken or not engine.layers.has(chain):
        return  # without its blob, or after a power cut, there is nothing to compare
    checkup.count("layers compared")
    suspect = Suspect(
        chain,
        record.get("parent"),
        record["diff_id"],
        engine.layout.blob_path(digest),
        compression,
    )
    problems = engine.layers.differences(suspect)
    if problems:
        checkup.find("layer", chain, "; ".join(problems), path)


def _blobs(engine: Engine) -> dict[str, tuple[str, str]]:
    """Which blob, in which compression, holds each layer, by its diff id."""
    from rootless.build.cache import Cache

    found: dict[str, tuple[str, str]] = {}
    for _, record in Cache(engine.paths.steps).records():
        if engine.layout.has_blob(record.digest):
            found[record.diff_id] = (record.digest, _COMPRESSIONS[record.media_type])
    try:
        images = [each for one in (engine.layout, *engine.layout.others) for each in one.images()]
    except RootlessError:
        return found
    for image in images:
        pairs = zip(image.config["rootfs"]["diff_ids"], image.manifest["layers"], strict=True)
        for diff_id, layer in pairs:
            if engine.layout.has_blob(layer["digest"]):
                compression = layer_compression(layer, name=image.image_id)
                found[diff_id] = (layer["digest"], compression)
    return found
