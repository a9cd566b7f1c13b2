"""Push: from a stored image to a registry, blobs first, then manifests, the name last."""

from __future__ import annotations

from rootless import files
from rootless.engine import registries
from rootless.engine.images import find_entry
from rootless.engine.recompress import Packed, check_format, repack
from rootless.engine.registries import Access
from rootless.errors import ImageRefused, InvalidRequest, NotFound
from rootless.events import ignore
from rootless.image.convert import parse_format
from rootless.image.digest import digest_of
from rootless.image.documents import (
    CONFIGS,
    is_index,
    media_type_of,
    parse_document,
    parse_manifest,
    to_json,
)
from rootless.image.reference import parse_reference, registry_name
from rootless.registry import signing
from rootless.registry.upload import Upload, file_blob
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.digest import Digest
    from rootless.image.documents import Descriptor
    from rootless.image.layout import Entry
    from rootless.image.reference import Reference
    from rootless.registry.client import Client

_MOUNT_SOURCES = 2
_INDEX_DEPTH = 3


class PushRequest(NamedTuple):
    """A stored image and the name to push it under, its own if None.

    ``force_compression`` also packs again what is compressed; None means: if a format is given.
    """

    source: str
    destination: str | None = None
    all_tags: bool = False
    compression_format: str | None = None
    force_compression: bool | None = None
    format: str | None = None
    sign_by_sigstore_private_key: str | None = None
    sign_passphrase: bytes | None = None
    access: Access = Access()


class PushResult(NamedTuple):
    """What the registry has now."""

    reference: str
    digest: Digest
    size_bytes: int


class _Packing(NamedTuple):
    """What ``repack`` is asked for."""

    compression: str | None
    force: bool
    form: str | None
    report: Report


class _Document(NamedTuple):
    """A manifest or index on its way, with the blobs that it needs before it."""

    content: bytes
    media_type: str
    blobs: tuple[Packed, ...]

    @property
    def digest(self) -> Digest:
        return digest_of(self.content)


def push(engine: Engine, request: PushRequest, report: Report = ignore) -> tuple[PushResult, ...]:
    """Upload an image, or with ``all_tags`` every stored tag of a repository.

    Raises NotFound when it is not stored, RegistryDenied, RegistryUnreachable or RegistryFailed.
    """
    if not request.all_tags:
        return (_push_one(engine, request, report),)
    name = parse_reference(request.source).name
    tagged = [
        each.reference
        for each in engine.layout.entries()
        if each.reference.startswith(f"{name}:") and "@" not in each.reference
    ]
    if not tagged or request.destination:
        raise NotFound(f"no tags of {name} are stored")
    return tuple(_push_one(engine, request._replace(source=each), report) for each in tagged)


def _push_one(engine: Engine, request: PushRequest, report: Report) -> PushResult:
    with engine.use_store():
        entry = find_entry(engine, request.source)
        target = _target(request, entry)
        key = _signing_key(request)
        configured = registries.load(engine)
        [source] = configured.sources(target, mirrors=False)
        documents = _documents(engine, entry.descriptor, _packing(request, entry, report))
        client = registries.client_for(source, request.access, registries=configured, report=report)
        try:
            result = _send(engine, client, target, documents=documents, report=report)
            if key is not None:
                with files.scratch(engine.paths.scratch, "signature") as scratch:
                    signing.sign(client, target, result.digest, key=key, scratch=scratch)
        finally:
            client.close()
    note(engine.paths, "image", "push", id=result.digest, name=str(target))
    return result


def _signing_key(request: PushRequest) -> object:
    """The key to sign with, read before anything is sent; None for no signature."""
    path = request.sign_by_sigstore_private_key
    return signing.load_key(path, request.sign_passphrase) if path else None


def _target(request: PushRequest, entry: Entry) -> Reference:
    name = request.destination or entry.reference
    if not name:
        raise InvalidRequest(
            f"{request.source} has no name to push it under",
            hint=f"rootless push {request.source} REGISTRY/NAME",
        )
    name = registry_name(name)
    reference = parse_reference(name)
    if reference.registry == "localhost":
        raise InvalidRequest(
            f"{name} is a local name", hint=f"rootless push {request.source} REGISTRY/NAME"
        )
    return reference


def _packing(request: PushRequest, entry: Entry, report: Report) -> _Packing:
    """How layers are packed: as they came, but what was never in a registry goes up compressed."""
    chosen = request.compression_format
    force = request.force_compression
    return _Packing(
        compression=check_format(chosen) if chosen else None if entry.source_digest else "gzip",
        force=chosen is not None if force is None else force,
        form=parse_format(request.format) if request.format else None,
        report=report,
    )


# -- what to send ----------------------------------------------------------------------------------


def _documents(
    engine: Engine, descriptor: Descriptor, packing: _Packing, *, depth: int = 0
) -> tuple[_Document, ...]:
    """Everything to push, what is referred to before what refers to it."""
    content = engine.layout.read_blob(descriptor)
    document = parse_document(content, media_type="", name=descriptor["digest"])
    if not is_index(document):
        return (_manifest(engine, descriptor, content, packing),)
    if depth > _INDEX_DEPTH:
        raise ImageRefused(f"{descriptor['digest']} nests indexes too deeply")
    found: list[_Document] = []
    entries = []
    for child in document["manifests"]:
        if not engine.layout.has_blob(child["digest"]):
            raise NotFound(
                f"the index {descriptor['digest']} lists {child['digest']}, which is not stored",
                hint="pull that platform, or push the image of one platform",
            )
        found.extend(_documents(engine, child, packing, depth=depth + 1))
        top = found[-1]
        entries.append(
            {**child, "mediaType": top.media_type, "digest": top.digest, "size": len(top.content)}
        )
    if entries != document["manifests"]:
        content = to_json({**document, "manifests": entries})
    return (*found, _Document(content, media_type_of(document), ()))


def _manifest(
    engine: Engine, descriptor: Descriptor, content: bytes, packing: _Packing
) -> _Document:
    manifest = parse_manifest(content, name=descriptor["digest"])
    # An attestation or another artifact is never packed anew.
    if manifest["config"]["mediaType"] in CONFIGS:
        image = engine.layout.image_of(descriptor)
        repacked = repack(engine, image, **packing._asdict())
        if repacked.manifest != image.manifest:
            content, manifest = to_json(repacked.manifest), repacked.manifest
        layers = repacked.layers
    else:
        layers = tuple(_stored(engine, each) for each in manifest["layers"])
    config = _stored(engine, manifest["config"])
    return _Document(content, media_type_of(manifest), (*layers, config))


def _stored(engine: Engine, descriptor: Descriptor) -> Packed:
    return Packed(descriptor, engine.layout.blob_path(descriptor["digest"]))


# -- sending ---------------------------------------------------------------------------------------


def _send(
    engine: Engine,
    client: Client,
    target: Reference,
    *,
    documents: tuple[_Document, ...],
    report: Report,
) -> PushResult:
    packed = {blob.descriptor["digest"]: blob for each in documents for blob in each.blobs}
    known = _repositories_with(engine, target, client.source.repository)
    blobs = tuple(
        file_blob(each.descriptor, each.path, known.get(digest, ()))
        for digest, each in packed.items()
    )
    Upload(client, blobs, place=engine.paths.images).run(report)
    *children, top = documents
    for child in children:
        client.put_manifest(child.digest, child.content, child.media_type)
    if target.digest and target.digest != top.digest:
        raise InvalidRequest(f"{target} names a digest that the image has not: {top.digest}")
    client.put_manifest(target.target, top.content, top.media_type)
    size = sum(each.descriptor["size"] for each in packed.values())
    return PushResult(str(target), top.digest, size)


def _repositories_with(
    engine: Engine, target: Reference, repository: str
) -> dict[str, tuple[str, ...]]:
    """By blob: other repositories of the target's registry that are known to have it."""
    found: dict[str, tuple[str, ...]] = {}
    for image in engine.layout.images():
        if not image.reference.startswith(f"{target.registry}/"):
            continue
        other = parse_reference(image.reference).repository
        for layer in image.manifest["layers"]:
            known = found.get(layer["digest"], ())
            if other not in (repository, *known) and len(known) < _MOUNT_SOURCES:
                found[layer["digest"]] = (*known, other)
    return found
