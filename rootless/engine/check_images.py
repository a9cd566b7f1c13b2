"""``system check`` on the image layout: the index, every blob by its digest, every image, the records."""

from __future__ import annotations

import os
import stat

from rootless import files
from rootless.errors import ImageRefused, RootlessError, Unsupported
from rootless.image.digest import Digest, Verifier, encoded, parse_digest
from rootless.image.documents import INDEXES, MANIFESTS, parse_index, parse_manifest
from rootless.image.garbage import reachable
from rootless.image.manifest import read_image
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine.check import Checkup
    from rootless.image.documents import Descriptor
    from rootless.image.layout import Entry, Layout

_CHUNK = 1 << 20


def check(checkup: Checkup) -> None:
    """Look at the own layout; others that are only read belong to somebody else."""
    layout = checkup.engine.layout
    if not os.path.isdir(layout.path):
        return
    _check_header(checkup, layout)
    sizes = dict(_check_blobs(checkup, layout))
    try:
        entries = layout.entries()
    except RootlessError as error:
        checkup.find("index", "index.json", error.message, f"{layout.path}/index.json")
        return
    for entry in entries:
        checkup.count("images")
        name = entry.reference or entry.digest
        for problem in _problems(checkup, entry.descriptor, sizes):
            checkup.find("image", name, problem)
    if not checkup.quick:
        _check_records(checkup, layout, entries)
    if not checkup.findings:  # else it may be damage that makes them look so
        _note_needless(checkup, layout, sizes)


def _check_header(checkup: Checkup, layout: Layout) -> None:
    path = f"{layout.path}/oci-layout"
    if not os.path.exists(path) and os.path.exists(f"{layout.path}/index.json"):
        checkup.find("index", "oci-layout", "is missing", path)


def _check_blobs(checkup: Checkup, layout: Layout) -> Iterator[tuple[str, int]]:
    """Hash every blob; yields digests and sizes."""
    for path, digest in stored_blobs(layout):
        if not digest:
            checkup.remnants.append(f"{os.path.basename(path)}, which a killed command was writing")
            continue
        checkup.count("blobs")
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            checkup.broken.add(digest)
            checkup.find("blob", digest, "is no file", path)
            continue
        size = status.st_size
        checkup.count("bytes", size)
        problem = None if checkup.quick else _problem_of(path, Digest(digest), size)
        if problem is not None:
            checkup.broken.add(digest)
            checkup.find("blob", digest, problem, path)
        yield digest, size


def stored_blobs(layout: Layout) -> Iterator[tuple[str, str]]:
    """Every file among the blobs with the digest that its name is; empty for one that names none."""
    for algorithm in files.names_in(f"{layout.path}/blobs"):
        for name in files.names_in(f"{layout.path}/blobs/{algorithm}"):
            try:
                digest = str(parse_digest(f"{algorithm}:{name}"))
            except ImageRefused:
                digest = ""
            yield f"{layout.path}/blobs/{algorithm}/{name}", digest


def _problem_of(path: str, digest: Digest, size: int) -> str | None:
    verifier = Verifier(digest, size, name="it")
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                verifier.update(chunk)
        verifier.finish()
    except ImageRefused:
        return "its content has another digest"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _problems(checkup: Checkup, descriptor: Descriptor, sizes: dict[str, int]) -> Iterator[str]:
    """What is wrong with an image or index and with what it needs."""
    layout = checkup.engine.layout
    problem = _blob_problem(checkup, descriptor, sizes)
    if problem is not None:
        yield problem
        return
    name = descriptor["digest"]
    try:
        if descriptor["mediaType"] in INDEXES:
            children = parse_index(layout.read_blob(descriptor), name=name)["manifests"]
            present = [each for each in children if each["digest"] in sizes]
            if children and not present:
                yield f"has none of the images that its index {name} lists"
            for child in present:
                yield from _problems(checkup, child, sizes)
            return
        if descriptor["mediaType"] not in MANIFESTS:
            return  # an artifact's own content
        manifest = parse_manifest(layout.read_blob(descriptor), name=name)
    except (RootlessError, OSError) as error:
        yield str(error)
        return
    checkup.count("manifests")
    missing = [
        problem
        for each in (manifest["config"], *manifest["layers"])
        if (problem := _blob_problem(checkup, each, sizes)) is not None
    ]
    yield from dict.fromkeys(missing)
    if missing:
        return
    try:
        read_image(descriptor, manifest, layout.read_blob, name=name)
    except Unsupported:
        pass  # an artifact, which is nothing to run
    except (RootlessError, OSError) as error:
        yield str(error)


def _blob_problem(checkup: Checkup, descriptor: Descriptor, sizes: dict[str, int]) -> str | None:
    digest = descriptor["digest"]
    if digest in checkup.broken:
        return f"needs the damaged blob {digest}"
    size = sizes.get(digest)
    if size is None:
        other = checkup.engine.layout.blob_path(digest)  # perhaps in an additional store
        size = os.path.getsize(other) if os.path.exists(other) else None
    if size is None:
        return f"lacks the blob {digest}"
    if size != descriptor["size"]:
        checkup.broken.add(digest)
        path = checkup.engine.layout.blob_path(digest)
        checkup.find("blob", digest, f"has {size} bytes, not {descriptor['size']}", path)
        return f"needs the damaged blob {digest}"
    return None


def _check_records(checkup: Checkup, layout: Layout, entries: tuple[Entry, ...]) -> None:
    """What is kept to find images fast says the same as the images themselves."""
    for entry in entries:
        path = f"{layout.path}/records/{encoded(entry.digest)}.json"
        if entry.descriptor["mediaType"] in INDEXES or not os.path.exists(path):
            continue
        try:
            manifest = parse_manifest(layout.read_blob(entry.descriptor), name=entry.digest)
            derived = read_image(entry.descriptor, manifest, layout.read_blob)
            if layout.image_of(entry.descriptor) != derived:
                checkup.find("record", entry.digest, "is not what its image says", path)
        except (RootlessError, OSError):
            continue  # the image is damaged itself, which was told


def _note_needless(checkup: Checkup, layout: Layout, sizes: dict[str, int]) -> None:
    from rootless.engine.garbage import cached_layers

    try:
        needed = {*reachable(layout), *cached_layers(checkup.engine)[0]}
    except RootlessError:
        return
    needless = [digest for digest in sizes if digest not in needed]
    if needless:
        from_them = sum(sizes[each] for each in needless)
        checkup.remnants.append(
            f"{len(needless)} blobs ({from_them} bytes) that nothing needs: rootless image prune"
        )
