"""What becomes of a finished build: stored, named, exported, written down."""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.build import grammar
from rootless.build.assembly import Base, Finished, annotations_of, assemble
from rootless.build.plan import finish_config
from rootless.engine.build_requests import BuildResult
from rootless.errors import Conflict, InvalidRequest
from rootless.image.digest import Digest, digest_of
from rootless.image.documents import DOCKER_INDEX, INDEXES, OCI_INDEX, parse_index, to_json
from rootless.image.platforms import parse_platform, platform_text
from rootless.image.reference import parse_reference
from rootless.image.times import rfc3339
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.build.cache import Record
    from rootless.build.plan import StagePlan
    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.events import Report
    from rootless.image.digest import ChainID
    from rootless.image.documents import Descriptor, Image
    from rootless.image.reference import Reference


class Built(NamedTuple):
    """A target that is built for one platform."""

    platform: str
    plan: StagePlan
    base: Image | None
    records: tuple[Record, ...]
    chain: tuple[ChainID, ...]
    timestamp: int | None


class Stored(NamedTuple):
    """The documents of an image, stored."""

    built: Built
    descriptor: Descriptor
    config_digest: Digest


def deliver(
    engine: Engine, request: BuildRequest, builds: list[Built], *, report: Report, scratch: str
) -> BuildResult:
    """Store the images under their names, export them, and say what they are called."""
    outputs = [grammar.parse_output(text) for text in request.output]
    names = _names(request, outputs)
    stored = [_store(engine, request, built) for built in builds]
    top = (
        stored[0].descriptor
        if len(stored) == 1
        else _store_index(engine, request, _members(stored))
    )
    only_exported = outputs and all(each.type not in ("image", "docker", "oci") for each in outputs)
    if request.manifest is not None:
        _add_to_index(engine, request, parse_reference(request.manifest), _members(stored))
    if names or not (only_exported or request.manifest):
        for name in names or ("",):
            engine.layout.tag(name, top)
    if outputs or request.push:
        from rootless.engine import build_export

        for output in outputs:
            build_export.export(
                engine, output, builds, names=names, descriptor=top, report=report, scratch=scratch
            )
        if request.push or any(each.push for each in outputs):
            build_export.push(engine, request, names, report)
    image_id = stored[0].config_digest if len(stored) == 1 else top["digest"]
    _write_down(request, image_id, top, names)
    note(engine.paths, "image", "build", id=image_id, name=str(names[0]) if names else "")
    return BuildResult(image_id, top["digest"], tuple(str(name) for name in names))


def _names(request: BuildRequest, outputs: list[grammar.Output]) -> tuple[Reference, ...]:
    texts = [*request.tag, *(name for each in outputs for name in each.name.split(",") if name)]
    names = [parse_reference(text) for text in dict.fromkeys(texts)]
    for name, text in zip(names, dict.fromkeys(texts), strict=True):
        if name.digest:
            raise InvalidRequest(f"{text} has a digest, which a build cannot be given")
    return tuple(names)


def _store(engine: Engine, request: BuildRequest, built: Built) -> Stored:
    config = finish_config(
        built.plan.config,
        labels=tuple(grammar.pairs(request.label, "--label").items()),
        env=tuple(grammar.pairs(request.env, "--env").items()),
        unset_env=request.unsetenv,
        unset_labels=request.unsetlabel,
    )
    base = built.base
    documents = assemble(
        Base(base.config, tuple(base.manifest["layers"])) if base else Base(),
        Finished(config, built.plan.author, built.platform, built.plan.history, built.records),
        format=request.format,
        annotations=annotations_of(request.annotation),
        timestamp=None if built.timestamp is None else rfc3339(built.timestamp),
    )
    config_digest = engine.layout.put_blob(documents.config)
    digest = engine.layout.put_blob(documents.manifest)
    descriptor: Descriptor = {
        "mediaType": documents.media_type,
        "digest": digest,
        "size": len(documents.manifest),
    }
    return Stored(built, descriptor, config_digest)


def _members(stored: list[Stored]) -> list[Descriptor]:
    """The images as members of an index."""
    return [{**each.descriptor, "platform": parse_platform(each.built.platform)} for each in stored]


def _store_index(engine: Engine, request: BuildRequest, members: list[Descriptor]) -> Descriptor:
    """Several platforms under one name."""
    media_type = DOCKER_INDEX if request.format == "docker" else OCI_INDEX
    content = to_json({"schemaVersion": 2, "mediaType": media_type, "manifests": members})
    engine.layout.put_blob(content)
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _add_to_index(
    engine: Engine, request: BuildRequest, name: Reference, members: list[Descriptor]
) -> None:
    """``--manifest``: put the images into the index of that name, each in the place of its platform.

    Builds for several platforms may run beside each other.  Raises Conflict when the name is an image's.
    """
    engine.layout.create()
    with files.lock(f"{engine.paths.images}/members.lock"):
        entry = engine.layout.named(str(name))
        before: list[Descriptor] = []
        if entry is not None:
            if entry.descriptor["mediaType"] not in INDEXES:
                raise Conflict(f"{name} is an image, not an index", hint=f"rootless untag {name}")
            before = parse_index(engine.layout.read_blob(entry.descriptor))["manifests"]
        new = [platform_text(each["platform"]) for each in members]
        kept = [
            each
            for each in before
            if "platform" not in each or platform_text(each["platform"]) not in new
        ]
        engine.layout.tag(name, _store_index(engine, request, kept + members))


def _write_down(
    request: BuildRequest, image_id: str, top: Descriptor, names: tuple[Reference, ...]
) -> None:
    if request.iidfile:
        _write(request.iidfile, image_id.encode())
    if request.metadata_file:
        document: dict[str, Any] = {
            "containerimage.config.digest": image_id,
            "containerimage.descriptor": top,
            "containerimage.digest": top["digest"],
        }
        if names:
            document["image.name"] = ",".join(str(name) for name in names)
        _write(request.metadata_file, json.dumps(document, indent=2).encode() + b"\n")


def _write(path: str, content: bytes) -> None:
    try:
        files.write_atomic(os.path.abspath(path), content, mode=0o644, durable=False)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None
