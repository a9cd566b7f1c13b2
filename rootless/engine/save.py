"""``save``: images into an archive or a layout directory, with every digest as it is."""

from __future__ import annotations

from rootless import files
from rootless.engine.images import find_entry, image_id_of
from rootless.errors import InvalidRequest, NotFound, StoreFailed
from rootless.image.archive import CONTAINERD_NAME, Blob, write_archive
from rootless.image.documents import REF_NAME, is_index, parse_document, references_of
from rootless.image.layout import Layout
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.image.documents import Descriptor, Image
    from rootless.image.layout import Entry

FORMATS = ("docker-archive", "oci-archive", "oci-dir")


class SaveRequest(NamedTuple):
    """Images to save; ``output`` is a path, or None to write an archive to ``output_fd``.

    Both archive formats are one: an OCI layout that docker loads too.
    """

    images: tuple[str, ...]
    output: str | None = None
    output_fd: int = 1
    format: str = "docker-archive"


def save(engine: Engine, request: SaveRequest) -> None:
    """Write the images.  A file appears when it is whole; an existing layout directory is added to.

    Raises NotFound for an image that is not stored.
    """
    if request.format not in FORMATS:
        raise InvalidRequest(
            f"no archive format {request.format!r}", hint=f"one of {', '.join(FORMATS)}"
        )
    with engine.use_store():
        entries = [(find_entry(engine, each), each) for each in request.images]
        try:
            if request.format == "oci-dir":
                _save_directory(engine, [entry for entry, _ in entries], request.output)
            elif request.output is None:
                _save_archive(engine, entries, request.output_fd)
            else:
                instead = "name a file, or --format oci-dir"
                with files.whole_file(request.output, instead=instead) as fd:
                    _save_archive(engine, entries, fd)
        except BrokenPipeError:
            raise StoreFailed("whoever reads the archive stopped reading it") from None
        except OSError as error:
            raise StoreFailed(
                f"cannot write {request.output or 'the archive'}: {error.strerror}"
            ) from None
    for entry, _ in entries:
        name = request.output or f"/dev/fd/{request.output_fd}"
        note(engine.paths, "image", "save", id=image_id_of(engine, entry), name=name)


def _save_archive(engine: Engine, entries: list[tuple[Entry, str]], output: int) -> None:
    lines: list[Descriptor] = []
    images: dict[str, tuple[Image, tuple[str, ...]]] = {}
    blobs: dict[str, Blob] = {}
    for entry, asked in entries:
        name = _name_of(entry, asked)
        lines.append(_line(entry, name))
        for descriptor in needed_blobs(engine, entry.descriptor):
            digest = descriptor["digest"]
            blobs[digest] = Blob(digest, descriptor["size"], engine.layout.blob_path(digest))
        image = engine.layout.image(entry, any_platform=True)
        known = images.get(image.config_digest, (image, ()))[1]
        own = (name,) if name and "@" not in name else ()
        images[image.config_digest] = (image, tuple(dict.fromkeys((*known, *own))))
    write_archive(output, entries=lines, images=images.values(), blobs=blobs.values())


def _name_of(entry: Entry, asked: str) -> str:
    """The name to save an image under: none when it was asked for by its id, as docker does."""
    prefix = asked.removeprefix("sha256:")
    by_id = entry.descriptor["digest"][7:].startswith(prefix) or entry.reference == ""
    is_hexadecimal = set(prefix) <= set("0123456789abcdef") and len(prefix) >= 12
    return "" if by_id or is_hexadecimal else entry.reference


def _line(entry: Entry, name: str) -> Descriptor:
    line: Descriptor = {
        "mediaType": entry.descriptor["mediaType"],
        "digest": entry.descriptor["digest"],
        "size": entry.descriptor["size"],
    }
    if name:
        line["annotations"] = {CONTAINERD_NAME: name, REF_NAME: name}
    return line


def needed_blobs(engine: Engine, descriptor: Descriptor) -> list[Descriptor]:
    """A manifest or index and everything below it, each once.  Raises NotFound when something is gone."""
    found = {descriptor["digest"]: descriptor}
    document = parse_document(
        engine.layout.read_blob(descriptor), media_type="", name=descriptor["digest"]
    )
    for child in references_of(document):
        if not engine.layout.has_blob(child["digest"]):
            raise NotFound(f"blob {child['digest']} of {descriptor['digest']} is not stored")
        below = needed_blobs(engine, child) if is_index(document) else [child]
        found.update((each["digest"], each) for each in below)
    return list(found.values())


def _save_directory(engine: Engine, entries: list[Entry], path: str | None) -> None:
    import shutil

    if path is None:
        raise InvalidRequest(
            "a directory cannot be written to standard output", hint="--output DIR"
        )
    target = Layout(path)
    target.create()
    for entry in entries:
        for descriptor in needed_blobs(engine, entry.descriptor):
            digest = descriptor["digest"]
            if not target.has_blob(digest):
                part = f"{path}/blobs/{digest[-16:]}.part"
                shutil.copyfile(engine.layout.blob_path(digest), part)
                target.put_blob(part, digest)
        target.tag(entry.reference, entry.descriptor)
