"""Layers in another compression, made once and remembered in the cache."""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.errors import ImageRefused, InvalidRequest, StoreFailed
from rootless.image.convert import converted, format_of, layer_type
from rootless.image.digest import encoded
from rootless.image.documents import layer_compression, to_json
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.digest import Digest
    from rootless.image.documents import Descriptor, Image, Manifest

FORMATS = ("gzip", "zstd", "none")


class Packed(NamedTuple):
    """A layer blob, perhaps not the stored one, and where it is."""

    descriptor: Descriptor
    path: str


class Repacked(NamedTuple):
    """A manifest that refers to layers as they were packed."""

    manifest: Manifest
    layers: tuple[Packed, ...]


def check_format(text: str) -> str:
    """Return ``text`` if layers can be compressed so; raises InvalidRequest."""
    if text not in FORMATS:
        raise InvalidRequest(f"no compression format {text!r}", hint=f"one of {', '.join(FORMATS)}")
    return text


def repack(
    engine: Engine,
    image: Image,
    *,
    compression: str | None,
    force: bool,
    form: str | None,
    report: Report,
) -> Repacked:
    """The manifest and layers of an image in the compression and format that are wanted.

    Without ``force`` only uncompressed layers are compressed.  What needs no change is not changed.
    """
    if compression is None and form in (None, format_of(image.manifest)):
        stored = (
            Packed(each, engine.layout.blob_path(each["digest"]))
            for each in image.manifest["layers"]
        )
        return Repacked(image.manifest, tuple(stored))
    if compression == "zstd" and form is None:
        form = "oci"
    form = form or format_of(image.manifest)
    layers = []
    for layer, diff_id in zip(
        image.manifest["layers"], image.config["rootfs"]["diff_ids"], strict=True
    ):
        have = layer_compression(layer, name=image.reference)
        wanted = compression if compression and (force or have == "none") else have
        layers.append(
            _packed(engine, layer, diff_id, wanted=wanted, have=have, form=form, report=report)
        )
    manifest = converted(image.manifest, layers=[each.descriptor for each in layers], form=form)
    return Repacked(manifest, tuple(layers))


def _packed(
    engine: Engine,
    layer: Descriptor,
    diff_id: str,
    *,
    wanted: str,
    have: str,
    form: str,
    report: Report,
) -> Packed:
    if wanted == have:
        return Packed(layer, engine.layout.blob_path(layer["digest"]))
    path = f"{engine.paths.compressed}/{encoded(diff_id)}.{wanted}"
    os.makedirs(engine.paths.compressed, mode=0o700, exist_ok=True)
    with files.lock(f"{path}.lock"):
        known = _known(path)
        if known is None:
            known = _compress(
                engine, layer, diff_id, wanted=wanted, have=have, path=path, report=report
            )
            files.write_atomic(f"{path}.json", to_json(known), durable=False)
    digest, size = known
    return Packed({"mediaType": layer_type(wanted, form), "digest": digest, "size": size}, path)


def _known(path: str) -> tuple[Digest, int] | None:
    """What was made before, if it is still there whole."""
    try:
        digest, size = json.loads(files.read_bytes(f"{path}.json"))
        return (digest, size) if os.path.getsize(path) == size else None
    except (OSError, ValueError, TypeError):
        return None


def _compress(
    engine: Engine,
    layer: Descriptor,
    diff_id: str,
    *,
    wanted: str,
    have: str,
    path: str,
    report: Report,
) -> tuple[Digest, int]:
    from rootless.events import Transfer
    from rootless.storage.compression import compressor, decompressed
    from rootless.storage.streams import WriteBehind

    report(Transfer(encoded(layer["digest"])[:12], "compressing"))
    temporary = f"{path}.{files.random_name()}.tmp"
    try:
        with (
            engine.layout.open_blob(layer["digest"]) as source,
            open(temporary, "xb", buffering=0) as target,
        ):
            writer = WriteBehind(target.fileno(), compressor(wanted))
            for chunk in decompressed(source.fileno(), have):
                writer.write(chunk)
            inner, outer, size = writer.close()
        if inner != diff_id:
            raise ImageRefused(
                f"stored layer {layer['digest']} unpacks to {inner}, not {diff_id}",
                hint="rootless system check --repair",
            )
        os.rename(temporary, path)
    except OSError as error:
        raise StoreFailed(f"cannot compress a layer into {path}: {error.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return outer, size
