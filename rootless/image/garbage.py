"""Which blobs of a layout are needed, and the removal of those that are not."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import NotFound
from rootless.image.digest import Digest, encoded
from rootless.image.documents import INDEXES, MANIFESTS, parse_document, references_of
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.image.documents import Descriptor
    from rootless.image.layout import Layout


def reachable(layout: Layout) -> set[Digest]:
    """The digests of every blob that some entry of the index needs."""
    found: set[Digest] = set()
    waiting = [entry.descriptor for entry in layout.entries()]
    while waiting:
        descriptor = waiting.pop()
        if descriptor["digest"] in found:
            continue
        found.add(descriptor["digest"])
        if descriptor["mediaType"] in (*INDEXES, *MANIFESTS):
            waiting.extend(_children(layout, descriptor))
    return found


def _children(layout: Layout, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    try:
        content = layout.read_blob(descriptor)
    except NotFound:
        return ()  # an index may list platforms that nobody asked for
    return references_of(parse_document(content, media_type="", name=descriptor["digest"]))


def collect(layout: Layout, keep: Iterable[str] = ()) -> list[tuple[Digest, int]]:
    """Delete every blob that no entry needs and ``keep`` does not name; return them with their sizes.

    The caller holds the store's lock exclusively: a pull puts blobs before the entry that needs them.
    """
    layout.create()
    removed = []
    with files.lock(f"{layout.path}/index.lock"):
        needed = {*reachable(layout), *keep}
        for algorithm in files.names_in(f"{layout.path}/blobs"):
            for name in files.names_in(f"{layout.path}/blobs/{algorithm}"):
                path = f"{layout.path}/blobs/{algorithm}/{name}"
                if f"{algorithm}:{name}" not in needed:
                    removed.append((Digest(f"{algorithm}:{name}"), os.lstat(path).st_size))
                    os.unlink(path)
        hexadecimal = {encoded(each) for each in needed}
        for name in files.names_in(f"{layout.path}/records"):
            if name.removesuffix(".json") not in hexadecimal:
                os.unlink(f"{layout.path}/records/{name}")
        for name in files.names_in(layout.path):
            if name.endswith(".tmp"):  # of a command that was killed while it wrote the index
                os.unlink(f"{layout.path}/{name}")
    return removed
