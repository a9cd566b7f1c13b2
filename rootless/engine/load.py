"""``load``: images from an archive, a pipe or a layout directory, verified and unpacked before they are named."""

from __future__ import annotations

import os
from contextlib import contextmanager

from rootless import files
from rootless.engine.unpacking import unpack_from
from rootless.errors import ImageRefused, InvalidRequest, NotFound, StoreFailed
from rootless.events import Notice, ignore
from rootless.image import archive
from rootless.image.digest import Digest, digest_of
from rootless.image.documents import (
    CONFIGS,
    is_index,
    media_type_of,
    parse_document,
    parse_index,
    parse_manifest,
    references_of,
)
from rootless.image.layout import Layout
from rootless.image.magic import LENGTH, compression_in
from rootless.image.manifest import read_image
from rootless.image.platforms import choose_manifest, platform_of_machine
from rootless.image.reference import is_qualified, parse_reference
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.documents import Descriptor, ImageIndex


class LoadRequest(NamedTuple):
    """An archive or layout directory; ``input`` None reads an archive from ``input_fd``."""

    input: str | None = None
    input_fd: int = 0


class Loaded(NamedTuple):
    """An image that was loaded; ``names`` is empty for one without a name."""

    image_id: Digest
    names: tuple[str, ...]


class _Source(NamedTuple):
    """Where blobs come from: a file for a digest, None where there is none."""

    find: Callable[[str], str | None]
    read: Callable[[Descriptor], bytes]


def load(engine: Engine, request: LoadRequest, report: Report = ignore) -> tuple[Loaded, ...]:
    """Store every image of an archive.

    Raises ImageRefused for what is damaged or no archive; then nothing of that image is stored.
    """
    engine.tell_store(report)
    loaded = _load(engine, request, report)
    for each in loaded:
        source = request.input or "/dev/stdin"
        note(engine.paths, "image", "loadfromarchive", id=each.image_id, name=source)
    return loaded


def _load(engine: Engine, request: LoadRequest, report: Report) -> tuple[Loaded, ...]:
    try:
        if request.input is not None and os.path.isdir(request.input):
            return _load_directory(engine, request.input, report)
        with files.scratch(engine.paths.scratch, "load") as scratch, engine.use_store():
            spool = archive.Spool(scratch)
            with _opened(request) as file, decompressed(file) as stream:
                spool.read(stream)
            return _load_spool(engine, spool, report)
    except FileNotFoundError:
        raise NotFound(f"no file {request.input}") from None
    except OSError as error:
        raise StoreFailed(f"cannot load {request.input or 'the archive'}: {error}") from None


def _opened(request: LoadRequest) -> BinaryIO:
    if request.input is not None:
        return open(request.input, "rb")
    return open(request.input_fd, "rb", closefd=False)


@contextmanager
def decompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    """A file's content, unpacked by whatever its first bytes say it is packed with."""
    import io

    beginning = file.peek(LENGTH)[:LENGTH] if isinstance(file, io.BufferedReader) else b""
    match compression_in(beginning):
        case "none":
            yield file
        case "bzip2":
            import bz2

            with bz2.open(file) as stream:
                yield stream  # type: ignore[misc]  # it reads, which is all that is asked
        case "xz":
            import lzma

            with lzma.open(file) as stream:
                yield stream  # type: ignore[misc]  # as above
        case compression:
            from rootless.storage.compression import decompressed as chunks

            # Unbuffered below: what was peeked at is in the buffer and must be read from there.
            with _pumped(file) as fd:
                yield _ChunkReader(chunks(fd, compression))  # type: ignore[misc]  # as above


@contextmanager
def _pumped(file: BinaryIO) -> Iterator[int]:
    """A descriptor with the file's content: the file's own where it can go back to its beginning."""
    if file.seekable():
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file.fileno()
        return
    import threading

    read_end, write_end = os.pipe2(os.O_CLOEXEC)

    def pump() -> None:
        try:
            while block := file.read(1 << 16):
                files.write_all(write_end, block)
        except OSError:
            pass  # the reader went away; it knows why
        finally:
            os.close(write_end)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield read_end
    finally:
        os.close(read_end)
        thread.join(1)


class _ChunkReader:
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


# -- OCI layouts -----------------------------------------------------------------------------------


def _load_spool(engine: Engine, spool: archive.Spool, report: Report) -> tuple[Loaded, ...]:
    if not archive.is_layout(spool):
        return tuple(_load_docker(engine, each, report) for each in archive.docker_images(spool))
    index = parse_index(spool.document("index.json") or b"", name="index.json of the archive")
    # Two images may have one config: a name that an entry claims is no other entry's.
    claimed = {name for each in index["manifests"] for name in archive.names_of(each)}
    familiar = {
        config: tuple(each for each in names if each not in claimed)
        for config, names in _docker_names(spool).items()
    }

    def read(descriptor: Descriptor) -> bytes:
        if engine.layout.has_blob(descriptor["digest"]):
            return engine.layout.read_blob(descriptor)
        if spool.blob(descriptor["digest"]) is None:
            raise ImageRefused(f"the archive lacks blob {descriptor['digest']}")
        name = f"blobs/{descriptor['digest'].replace(':', '/')}"
        return spool.document(name) or b""

    source = _Source(_or_stored(engine, spool.blob), read)
    return tuple(_load_entry(engine, each, source, familiar, report) for each in index["manifests"])


def _or_stored(engine: Engine, find: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """A blob that is stored already, perhaps since the image before, is taken from the store."""

    def found(digest: str) -> str | None:
        if engine.layout.has_blob(digest):
            return engine.layout.blob_path(digest)
        return find(digest)

    return found


def _docker_names(spool: archive.Spool) -> dict[str, tuple[str, ...]]:
    """What manifest.json calls each image, by the digest of its config."""
    import json

    found: dict[str, tuple[str, ...]] = {}
    try:
        for each in json.loads(spool.document("manifest.json") or b"[]"):
            member = spool.find(str(each["Config"]))
            if member is not None:
                found[member.digest] = tuple(map(str, each.get("RepoTags") or ()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # it is only asked for names here; the layout has the images
    return found


def _load_directory(engine: Engine, path: str, report: Report) -> tuple[Loaded, ...]:
    """A layout directory stays as it is: its blobs are copied."""
    other = Layout(path)
    if not os.path.exists(f"{path}/oci-layout"):
        raise InvalidRequest(
            f"{path} is not an OCI image layout",
            hint=f"it has no file oci-layout; a dir: of skopeo becomes one by: skopeo copy dir:{path} oci:NEW:latest",
        )
    with files.scratch(engine.paths.scratch, "load") as scratch, engine.use_store():

        def find(digest: str) -> str | None:
            if not other.has_blob(digest):
                return None
            copied = f"{scratch}/{digest.partition(':')[2]}"
            if not os.path.exists(copied):
                _copy_verified(other, digest, copied)
            return copied

        source = _Source(_or_stored(engine, find), other.read_blob)
        return tuple(
            _load_entry(engine, entry.descriptor, source, {}, report) for entry in other.entries()
        )


def _copy_verified(layout: Layout, digest: str, target: str) -> None:
    from rootless.image.digest import Verifier

    with layout.open_blob(digest) as file, open(target, "xb", buffering=0) as copy:
        verifier = Verifier(
            Digest(digest), os.fstat(file.fileno()).st_size, name=f"blob {digest} of {layout.path}"
        )
        while block := file.read(1 << 20):
            verifier.update(block)
            files.write_all(copy.fileno(), block)
        verifier.finish()


def _load_entry(
    engine: Engine,
    descriptor: Descriptor,
    source: _Source,
    familiar: dict[str, tuple[str, ...]],
    report: Report,
) -> Loaded:
    """Store what an entry means: its image for this machine unpacked, those for others as blobs."""
    kept: dict[str, str | bytes] = {}
    manifest = _gather(descriptor, source, kept)
    document = parse_manifest(source.read(manifest), name=manifest["digest"])
    image = read_image(manifest, document, source.read)
    paths = [str(kept[layer["digest"]]) for layer in document["layers"]]
    unpack_from(engine, image, paths, report=report)
    for digest, content in kept.items():
        if not engine.layout.has_blob(digest):
            engine.layout.put_blob(content, Digest(digest))
    given = archive.names_of(descriptor) + familiar.get(image.config_digest, ())
    names = _names(given, report)
    for name in names or ("",):
        engine.layout.tag(name, descriptor)
    return Loaded(image.image_id, names)


def _gather(descriptor: Descriptor, source: _Source, kept: dict[str, str | bytes]) -> Descriptor:
    """Collect the blobs below an entry; returns the manifest for this machine, or the first there is.

    A platform of an index that the archive has not is left out, as tools do that save one platform.
    """
    content = source.read(descriptor)
    document = parse_document(content, media_type="", name=descriptor["digest"])
    if descriptor["mediaType"] != media_type_of(document):
        raise ImageRefused(f"{descriptor['digest']} is not the {descriptor['mediaType']} it claims")
    kept[descriptor["digest"]] = content
    if is_index(document):
        return _gather_index(document, source, kept, name=descriptor["digest"])
    for child in references_of(document):
        _keep(child, source, kept)
    return descriptor


def _gather_index(
    index: ImageIndex, source: _Source, kept: dict[str, str | bytes], *, name: str
) -> Descriptor:
    present = [each for each in index["manifests"] if source.find(each["digest"]) is not None]
    found = {each["digest"]: _gather(each, source, kept) for each in present}
    images = [each for each in present if _is_image(source.read(found[each["digest"]]))]
    if not images:
        raise ImageRefused(f"the archive has no image of index {name}")
    here = platform_of_machine(os.uname().machine)
    try:
        chosen = choose_manifest({**index, "manifests": images}, here, name=name)
    except NotFound:
        chosen = images[0]
    return found[chosen["digest"]]


def _is_image(content: bytes) -> bool:
    return parse_manifest(content)["config"]["mediaType"] in CONFIGS


def _keep(descriptor: Descriptor, source: _Source, kept: dict[str, str | bytes]) -> None:
    digest = descriptor["digest"]
    path = source.find(digest)
    if path is None:
        raise ImageRefused(f"the archive lacks blob {digest}")
    if os.path.getsize(path) != descriptor["size"]:
        raise ImageRefused(f"blob {digest} of the archive has not {descriptor['size']} bytes")
    kept[digest] = path


def _names(given: tuple[str, ...], report: Report) -> tuple[str, ...]:
    """Names as they are stored.  A bare word is a tag of somebody else's layout: it gets localhost."""
    full = [each for each in given if is_qualified(each)]
    found: dict[str, None] = {}
    for name in full or given:
        plain = name if is_qualified(name) or ":" in name else f"localhost/{name}"
        try:
            found[str(parse_reference(plain))] = None
        except InvalidRequest:
            report(Notice(f"the archive calls an image {name!r}, which is no name", "warning"))
    return tuple(found)


# -- docker's format -------------------------------------------------------------------------------


def _load_docker(engine: Engine, docker: archive.DockerImage, report: Report) -> Loaded:
    manifest = parse_manifest(docker.manifest)
    descriptor: Descriptor = {
        "mediaType": media_type_of(manifest),
        "digest": digest_of(docker.manifest),
        "size": len(docker.manifest),
    }
    image = read_image(descriptor, manifest, lambda _: docker.config, name="the archive's image")
    layout = engine.layout
    digests = [layer["digest"] for layer in manifest["layers"]]
    paths = [
        layout.blob_path(digest) if layout.has_blob(digest) else path
        for digest, path in zip(digests, docker.layers, strict=True)
    ]
    unpack_from(engine, image, paths, report=report)
    for digest, path in zip(digests, docker.layers, strict=True):
        if not layout.has_blob(digest):
            layout.put_blob(path, digest)
    layout.put_blob(docker.config, image.config_digest)
    layout.put_blob(docker.manifest, descriptor["digest"])
    names = _docker_references(docker.names, report)
    for name in names or ("",):
        layout.tag(name, descriptor)
    return Loaded(image.image_id, names)


def _docker_references(given: tuple[str, ...], report: Report) -> tuple[str, ...]:
    found = []
    for name in given:
        try:
            found.append(str(parse_reference(name)))
        except InvalidRequest:
            report(Notice(f"the archive calls an image {name!r}, which is no name", "warning"))
    return tuple(dict.fromkeys(found))
