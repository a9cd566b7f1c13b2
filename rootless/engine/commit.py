"""``commit`` and ``import``: an image made of a container's files, or of an archive of files."""

from __future__ import annotations

import os
import time

from rootless import events, files
from rootless.build.assembly import Base, Finished, assemble
from rootless.build.cache import Record
from rootless.build.history import HistoryLine
from rootless.build.settings import changed_config
from rootless.engine.differences import mount_targets
from rootless.engine.trees import rootfs_of
from rootless.errors import InvalidRequest, NotFound, StoreFailed
from rootless.image.digest import DiffID
from rootless.image.platforms import parse_platform, platform_of_machine, platform_text
from rootless.image.reference import parse_reference
from rootless.image.times import rfc3339
from rootless.runtime import container as store
from rootless.runtime.journal import note, note_container
from rootless.storage.compression import MEDIA_TYPES, compressor
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from rootless.build.assembly import Documents
    from rootless.engine import Engine
    from rootless.engine.container_requests import CommitRequest
    from rootless.events import Report
    from rootless.image.digest import Digest
    from rootless.image.documents import ContainerConfig, Descriptor, Image
    from rootless.image.reference import Reference
    from rootless.runtime.container import Container
    from rootless.storage.layers import LayerTar

FORMATS = ("oci", "docker")
_CHUNK = 1 << 20


class ImportRequest(NamedTuple):
    """``import``: ``source`` is a file, an address, or - for standard input."""

    source: str
    reference: str | None = None
    change: tuple[str, ...] = ()
    message: str | None = None
    platform: str | None = None  # os/arch[/variant]


def commit(engine: Engine, request: CommitRequest) -> Digest:
    """Make an image of what a container has changed; its id.

    Raises NotFound for a container, or a base image that is gone; InvalidRequest, HostLacks (pause).
    """
    container = store.find(engine.paths, request.container)
    reference = _reference(request.image)
    if request.format not in FORMATS:
        raise InvalidRequest(f"no format {request.format!r}", hint="oci or docker")
    with engine.use_store():
        base = _base_of(engine, container)
        config = changed_config(_config_of(container, base), request.change)
        with files.scratch(engine.paths.scratch, "commit") as scratch:
            layer = _layer_of(engine, container, f"{scratch}/layer", pause=request.pause)
            records = [_record(layer)] if layer.entries else []
            line = HistoryLine(" ".join(container.record["args"]), empty=not records)
            documents = assemble(
                Base(base.config, tuple(base.manifest["layers"])),
                Finished(
                    config,
                    request.author or "",
                    platform_text(base.config),
                    [line],
                    records,
                    comment=request.message or "",
                ),
                format=request.format,
                timestamp=rfc3339(time.time()),
            )
            if records:
                engine.layout.put_blob(layer.path, layer.digest)
            engine.layers.sync()
        digest = _store(engine, documents, reference)
    note_container(engine.paths, container.record, "commit", imageID=digest)
    if request.iidfile:
        _write(request.iidfile, digest)
    return digest


def _reference(text: str | None) -> Reference | None:
    if text is None:
        return None
    reference = parse_reference(text)
    if reference.digest:
        raise InvalidRequest(f"{text} has a digest, which an image cannot be given")
    return reference


def _base_of(engine: Engine, container: Container) -> Image:
    try:
        return engine.layout.resolve(container.record["image_id"])
    except NotFound:
        raise NotFound(
            f"the image of container {container.name} is not stored any more",
            hint=f"rootless pull {container.record['image']}, or export and import the container",
        ) from None


def _config_of(container: Container, base: Image) -> ContainerConfig:
    """How containers of the new image run: as this one does, but for what belongs to this one only."""
    settings = container.record["settings"]
    given: dict[str, Any] = dict(base.container_config)
    env = dict(each.partition("=")[::2] for each in given.get("Env", ()))
    env.update(each.partition("=")[::2] for each in settings.get("env", ()))
    for name in settings.get("unsetenv", ()):
        env.pop(name, None)
    given["Env"] = [f"{name}={value}" for name, value in env.items()]
    given["Labels"] = dict(container.record["labels"])
    if settings.get("entrypoint") is not None:
        given["Entrypoint"] = list(settings["entrypoint"])
        given.pop("Cmd", None)
    if settings.get("args"):
        given["Cmd"] = list(settings["args"])
    for field, key in (("user", "User"), ("workdir", "WorkingDir"), ("stop_signal", "StopSignal")):
        if settings.get(field):
            given[key] = settings[field]
    return cast("ContainerConfig", given)


def _layer_of(engine: Engine, container: Container, output: str, *, pause: bool) -> LayerTar:
    from rootless.engine import containers
    from rootless.image.digest import ChainID

    chain = container.record["chain"]
    paused = pause and container.status() == "running"
    if paused:
        containers.pause(engine, container.id)
    try:
        return engine.layers.commit(
            rootfs_of(container),
            bundle=container.bundle,
            parent=ChainID(chain[-1]) if chain else None,
            output=output,
            skip=mount_targets(container),
            consume=False,
        )
    finally:
        if paused:
            containers.unpause(engine, container.id)


def _record(layer: LayerTar) -> Record:
    created = rfc3339(time.time())
    return Record(layer.diff_id, layer.digest, layer.size_bytes, layer.media_type, created)


def _store(engine: Engine, documents: Documents, reference: Reference | None) -> Digest:
    """Store both documents and name the image; its id."""
    image_id = engine.layout.put_blob(documents.config)
    engine.layout.put_blob(documents.manifest)
    engine.layout.tag(reference or "", _descriptor(documents))
    return image_id


def _descriptor(documents: Documents) -> Descriptor:
    from rootless.image.digest import digest_of

    return {
        "mediaType": documents.media_type,
        "digest": digest_of(documents.manifest),
        "size": len(documents.manifest),
    }


def _write(path: str, digest: Digest) -> None:
    try:
        files.write_atomic(os.path.abspath(path), digest.encode(), mode=0o644, durable=False)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None


def import_image(engine: Engine, request: ImportRequest, report: Report = events.ignore) -> Digest:
    """Make an image of one layer from an archive of files, compressed or not; its id.

    Raises NotFound for a missing file, ImageRefused for what is no archive: then nothing is stored.
    """
    from rootless.engine.unpacking import unpack_from
    from rootless.image.documents import parse_manifest
    from rootless.image.manifest import read_image

    reference = _reference(request.reference)
    config = changed_config({}, request.change)
    here = platform_of_machine(os.uname().machine)
    platform = parse_platform(request.platform) if request.platform else here
    with files.scratch(engine.paths.scratch, "import") as scratch, engine.use_store():
        record = _repacked(engine, request.source, scratch)
        documents = assemble(
            Base(),
            Finished(
                config,
                "",
                platform_text(platform),
                [HistoryLine(f"rootless import {request.source}", empty=False)],
                [record],
                comment=request.message or f"Imported from {request.source}",
            ),
            timestamp=rfc3339(time.time()),
        )
        manifest = parse_manifest(documents.manifest)
        image = read_image(
            _descriptor(documents), manifest, lambda _: documents.config, name=request.source
        )
        unpack_from(engine, image, [f"{scratch}/layer"], report=report)
        engine.layout.put_blob(f"{scratch}/layer", record.digest)
        digest = _store(engine, documents, reference)
    note(engine.paths, "image", "import", id=digest, name=str(reference or ""))
    return digest


def _repacked(engine: Engine, source: str, scratch: str) -> Record:
    """The archive as a layer blob at ``scratch/layer``."""
    from rootless.engine.load import decompressed
    from rootless.storage.streams import WriteBehind

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    output = os.open(f"{scratch}/layer", flags, 0o600)
    try:
        with open(_path_of(engine, source, scratch), "rb") as file, decompressed(file) as stream:
            out = WriteBehind(output, compressor("gzip"))
            try:
                while chunk := stream.read(_CHUNK):
                    out.write(chunk)
            finally:
                diff_id, digest, size = out.close()
    except FileNotFoundError:
        raise NotFound(f"no file {source}") from None
    except (OSError, EOFError) as error:
        raise StoreFailed(f"cannot import {source}: {error}") from None
    finally:
        os.close(output)
    created = rfc3339(time.time())
    return Record(DiffID(diff_id), digest, size, MEDIA_TYPES["gzip"], created)


def _path_of(engine: Engine, source: str, scratch: str) -> str | int:
    if source == "-":
        if os.isatty(0):
            raise InvalidRequest("standard input is a terminal and no archive", hint="name a file")
        return os.dup(0)
    if source.startswith(("http://", "https://")):
        from rootless.build.downloads import fetch
        from rootless.build.steps import Download

        return fetch(Download(source, "archive"), engine.paths, f"{scratch}/download").path
    return source
