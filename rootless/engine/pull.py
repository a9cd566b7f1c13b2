"""Pull: from a name to a stored and unpacked image."""

from __future__ import annotations

import os
from contextlib import ExitStack

from rootless import files
from rootless.engine import garbage, registries
from rootless.engine.registries import Access, clients, first_answer
from rootless.engine.unpacking import Unpacking, packed_layers
from rootless.errors import Conflict, ImageRefused, NotFound
from rootless.events import Notice, Transfer, ignore
from rootless.image.digest import encoded
from rootless.image.documents import is_index, layer_compression, parse_manifest
from rootless.image.manifest import read_image
from rootless.image.platforms import (
    choose_manifest,
    matches,
    parse_platform,
    platform_of_machine,
    platform_text,
)
from rootless.image.reference import registry_name
from rootless.registry import policy
from rootless.registry.part import StalePart
from rootless.registry.transfer import Fetch, Job
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.digest import Digest
    from rootless.image.documents import Descriptor, Image, Platform
    from rootless.image.reference import Reference
    from rootless.registry.client import Client, Fetched

_INDEX_DEPTH = 3


class PullRequest(NamedTuple):
    """An image to download."""

    reference: str
    platform: str | None = None
    all_tags: bool = False
    access: Access = Access()


class PullResult(NamedTuple):
    """What was pulled: the image and what the registry calls it; ``is_new`` says that it was not here."""

    image: Image
    digest: Digest
    is_new: bool


class Remote(NamedTuple):
    """An image as a registry describes it; nothing is stored yet.

    ``top`` is what the name means, perhaps an index; ``manifest`` is the one for the platform.
    """

    reference: Reference
    top: Fetched
    manifest: Fetched
    config: bytes
    image: Image


def pull(engine: Engine, request: PullRequest, report: Report = ignore) -> tuple[PullResult, ...]:
    """Download an image, or with ``all_tags`` every tag of its repository.

    Raises RegistryUnreachable, RegistryDenied, NotFound, ImageRefused or Unsupported; then nothing of the
    image is stored but what a later pull can go on with.
    """
    engine.tell_store(report)
    request = request._replace(reference=registry_name(request.reference))
    candidates = registries.load(engine).candidates(request.reference)
    if not request.all_tags:
        return (_pull_one(engine, candidates, request, report),)
    if candidates[0].digest or request.reference.rpartition(":")[2] == candidates[0].tag:
        raise Conflict("--all-tags is for a name without tag and digest")
    tagged = first_answer(
        clients(engine, candidates, request.access, report=report),
        lambda reference, client: [reference._replace(tag=tag) for tag in client.tags()],
        name=request.reference,
    )
    return tuple(_pull_one(engine, (each,), request, report) for each in tagged)


def remote_digest(engine: Engine, request: PullRequest, report: Report = ignore) -> Digest | None:
    """What the registry has under the name now, without downloading it."""
    candidates = registries.load(engine).candidates(request.reference)
    return first_answer(
        clients(engine, candidates, request.access, report=report),
        lambda reference, client: client.manifest_digest(reference.target),
        name=request.reference,
    )


def _pull_one(
    engine: Engine, candidates: Sequence[Reference], request: PullRequest, report: Report
) -> PullResult:
    platform = parse_platform(request.platform) if request.platform else None
    rules = policy.load(os.environ, request.access.signature_policy)

    def ask(reference: Reference, client: Client) -> PullResult:
        remote = _describe(client, reference, platform)
        _check_platform(remote, platform, report)
        if rules is not None:
            # A signature of the index covers the manifest, whose digest is in it.
            digests = (remote.manifest.descriptor["digest"], remote.top.descriptor["digest"])
            policy.check(rules, reference, digests, client)
        try:
            return _store(engine, remote, client, report)
        except ImageRefused:
            garbage.collect(engine)  # its other layers may have been good, and nothing needs them
            raise

    places = clients(engine, candidates, request.access, report=report)
    return first_answer(places, ask, name=request.reference)


def _describe(client: Client, reference: Reference, platform: Platform | None) -> Remote:
    """Fetch and check the documents of an image."""
    name = str(reference)
    top = manifest = client.manifest(reference.target)
    wanted = platform or platform_of_machine(os.uname().machine)
    for _ in range(_INDEX_DEPTH):
        if not is_index(manifest.document):
            break
        entry = choose_manifest(manifest.document, wanted, name=reference.familiar)
        manifest = client.manifest(entry["digest"])
        if manifest.descriptor["size"] != entry["size"]:
            raise ImageRefused(
                f"{name} has {manifest.descriptor['size']} bytes, not {entry['size']}"
            )
    document = parse_manifest(manifest.content, name=name)
    for layer in document["layers"]:
        layer_compression(layer, name=name)
    config = client.small_blob(document["config"])
    image = read_image(manifest.descriptor, document, lambda _: config, name=name)
    return Remote(reference, top, manifest, config, image)


def _check_platform(remote: Remote, platform: Platform | None, report: Report) -> None:
    name, config = remote.reference.familiar, remote.image.config
    wanted = platform or platform_of_machine(os.uname().machine)
    if matches(config, wanted):
        return
    if platform is not None:
        raise NotFound(f"{name} is for {platform_text(config)}, not {platform_text(platform)}")
    report(Notice(f"{name} is for {platform_text(config)}, which this machine is not", "warning"))


# -- storing ---------------------------------------------------------------------------------------


def _store(engine: Engine, remote: Remote, client: Client, report: Report) -> PullResult:
    """Bring the layers, then the documents, then the name: what is named is complete."""
    image = remote.image
    os.makedirs(engine.paths.downloads, mode=0o700, exist_ok=True)
    with engine.use_store(), _turn(engine, remote, report):
        is_new = not engine.layout.has_blob(remote.manifest.descriptor["digest"])
        try:
            _bring_layers(engine, image, client, report)
        except StalePart:
            # What an earlier pull had left was damaged, and is gone now.
            _bring_layers(engine, image, client, report)
        layout = engine.layout
        layout.put_blob(remote.config, image.config_digest)
        layout.put_blob(remote.manifest.content, remote.manifest.descriptor["digest"])
        reference = remote.reference
        if reference.digest:
            reference = reference._replace(tag=None)
        layout.tag(
            reference,
            remote.manifest.descriptor,
            source_digest=remote.top.descriptor["digest"],
        )
    digest = remote.top.descriptor["digest"]
    note(engine.paths, "image", "pull", id=image.image_id, name=str(reference))
    return PullResult(image._replace(reference=str(reference)), digest, is_new)


def _turn(engine: Engine, remote: Remote, report: Report) -> ExitStack:
    """Two processes that pull the same image take turns; the second then finds everything there."""
    path = f"{engine.paths.downloads}/{encoded(remote.manifest.descriptor['digest'])}.lock"
    stack = ExitStack()
    try:
        stack.enter_context(files.lock(path, wait=False))
    except Conflict:
        report(Notice(f"waiting for another process that pulls {remote.reference.familiar}"))
        stack.enter_context(files.lock(path))
    return stack


def _bring_layers(engine: Engine, image: Image, client: Client, report: Report) -> None:
    layers = image.manifest["layers"]
    missing = {each["digest"] for each in layers if not engine.layout.has_blob(each["digest"])}
    packed = packed_layers(engine, image)
    for layer in layers:
        if layer["digest"] not in missing:
            report(Transfer(encoded(layer["digest"])[:12], "exists"))
    if not missing and not packed:
        return
    with ExitStack() as stack:
        unpacker = stack.enter_context(engine.layers.unpacker()) if packed else None
        work = Unpacking(engine, image, unpacker=unpacker, packed=packed)
        for index, layer in enumerate(layers):
            if layer["digest"] not in missing:
                work.submit_file(index, engine.layout.blob_path(layer["digest"]))
        fetch = Fetch(client, _jobs(engine, image, work, missing), engine.paths.downloads)
        _fetch(engine, image, fetch, work=work, report=report)


def _fetch(engine: Engine, image: Image, fetch: Fetch, *, work: Unpacking, report: Report) -> None:
    """Run a transfer to its end; its blobs are stored when all layers were verified and unpacked."""
    try:
        fetch.run(report)
        finished = {part.descriptor["digest"]: part.path for part in fetch.parts}
        seen: set[Digest] = set()
        for index, layer in enumerate(image.manifest["layers"]):
            # A blob may be several layers of an image; it was fetched for the first of them.
            if layer["digest"] in seen and layer["digest"] in finished:
                work.submit_file(index, finished[layer["digest"]])
            seen.add(layer["digest"])
        work.wait(report)
    except ImageRefused:
        # Nothing of an image that lies is kept, not even what another pull could go on with.
        for part in fetch.parts:
            part.remove()
        raise
    for digest, path in finished.items():
        if not engine.layout.has_blob(digest):
            engine.layout.put_blob(path, digest)


def _jobs(engine: Engine, image: Image, work: Unpacking, missing: set[Digest]) -> tuple[Job, ...]:
    jobs: dict[Digest, Job] = {}
    for index, layer in enumerate(image.manifest["layers"]):
        if layer["digest"] in missing and layer["digest"] not in jobs:
            jobs[layer["digest"]] = _job(engine, layer, index, work)
    return tuple(jobs.values())


def _job(engine: Engine, layer: Descriptor, index: int, work: Unpacking) -> Job:
    digest = layer["digest"]
    return Job(
        layer,
        is_stored=lambda: engine.layout.has_blob(digest),
        unpack=(lambda fd: work.submit(index, fd)) if work.wants(index) else None,
        unpack_stored=lambda: work.submit_file(index, engine.layout.blob_path(digest)),
    )
