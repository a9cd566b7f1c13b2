"""Images of other OCI layouts: ``oci-layout://PATH[:TAG][@DIGEST]``."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.unpacking import unpack_stored
from rootless.errors import ImageRefused, NotFound
from rootless.image.layout import Layout
from rootless.image.platforms import parse_platform
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.documents import Descriptor, Image
    from rootless.image.layout import Entry

_CHUNK = 1 << 20


def import_image(engine: Engine, place: str, platform: str | None, report: Report) -> Image:
    """Copy an image of another layout into the store, without a name, and unpack it."""
    path, entry = _find(place)
    other = Layout(path)
    image = other.image(entry, parse_platform(platform) if platform else None)
    for descriptor in (
        *image.manifest["layers"],
        image.manifest["config"],
        image.manifest_descriptor,
    ):
        if not engine.layout.has_blob(descriptor["digest"]):
            _copy(engine, other, descriptor)
    unpack_stored(engine, image, report)
    return image


def _find(place: str) -> tuple[str, Entry]:
    path, _, digest = place.partition("@")
    if os.path.isdir(path):
        tag = ""
    else:
        path, _, tag = path.rpartition(":")
    if not os.path.exists(f"{path}/oci-layout"):
        raise NotFound(f"{path or place} is not an OCI layout")
    entries = Layout(path).entries()
    if digest:
        found = [each for each in entries if each.digest == digest]
    elif tag:
        found = [each for each in entries if each.reference == tag]
    else:
        found = [each for each in entries if each.reference == "latest"] or list(entries[:1])
    if not found:
        raise NotFound(f"the layout {path} has no image {digest or tag}".rstrip())
    return path, found[0]


def _copy(engine: Engine, other: Layout, descriptor: Descriptor) -> None:
    """One blob, checked on the way."""
    import hashlib

    algorithm, _, wanted = descriptor["digest"].partition(":")
    digest = hashlib.new(algorithm)
    temporary = f"{engine.paths.scratch}/blob-{files.random_name()}"
    try:
        with other.open_blob(descriptor["digest"]) as source, open(temporary, "xb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != wanted:
            raise ImageRefused(f"blob {descriptor['digest']} of {other.path} has other content")
        engine.layout.put_blob(temporary, descriptor["digest"])
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
