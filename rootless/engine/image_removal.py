"""``rmi`` and ``image prune``: names go, then images without a name, then what only they needed."""

from __future__ import annotations

from rootless.engine import garbage
from rootless.engine.filters import split
from rootless.engine.image_list import (
    ImagesRequest,
    has_label,
    list_images,
    used_images,
)
from rootless.engine.images import (
    check_own,
    find_to_remove,
    image_id_of,
    is_hexadecimal,
)
from rootless.errors import Conflict, InvalidRequest, NotFound, RootlessError
from rootless.events import Notice, ignore
from rootless.image.times import parse_since
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.documents import Image


class RemoveImagesRequest(NamedTuple):
    """Images to remove, by any of their names or ids; ``all`` means every image there is."""

    images: tuple[str, ...] = ()
    force: bool = False
    all: bool = False
    ignore: bool = False


class PruneImagesRequest(NamedTuple):
    """Remove untagged images, or with ``all`` every image without a container.

    ``filters`` are ``until=TIME`` and ``label[!]=KEY[=VALUE]``.
    """

    all: bool = False
    filters: tuple[str, ...] = ()
    now_s: float | None = None


class Removed(NamedTuple):
    """The names that were taken away, the ids of images that are gone, and the space that is free now."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    size_bytes: int = 0


def remove_images(engine: Engine, request: RemoveImagesRequest, report: Report = ignore) -> Removed:
    """Remove names and images.  What can be removed is, before the first failure is raised."""
    names = request.images
    if request.all:
        names = tuple(dict.fromkeys(each.digest for each in engine.layout.entries()))
    untagged: list[str] = []
    deleted: list[str] = []
    failure: RootlessError | None = None
    with engine.use_store():
        for name in names:
            try:
                _remove_one(engine, name, request, untagged=untagged, deleted=deleted)
            except NotFound as error:
                failure = failure or (None if request.ignore else error)
            except RootlessError as error:
                failure = failure or error
    size_bytes = _collect(engine, report) if deleted else 0
    if failure is not None:
        raise failure
    return Removed(tuple(untagged), tuple(deleted), size_bytes)


def _remove_one(
    engine: Engine,
    name: str,
    request: RemoveImagesRequest,
    *,
    untagged: list[str],
    deleted: list[str],
) -> None:
    entry = find_to_remove(engine, name)
    check_own(engine, name, entry)
    own = [each.reference for each in engine.layout.entries() if each.digest == entry.digest]
    own = [each for each in own if each]
    if len(own) > 1 and (engine.layout.named(name) is not None or not is_hexadecimal(name)):
        engine.layout.untag(entry.reference)
        note(engine.paths, "image", "untag", id=image_id_of(engine, entry), name=entry.reference)
        untagged.append(entry.reference)
        return
    if len(own) > 1 and not (request.force or request.all):
        raise Conflict(
            f"image {name} has {len(own)} names: {', '.join(own)}",
            hint="remove it by one of them, or by force: rmi -f",
        )
    image_id = image_id_of(engine, entry)
    if not request.force:
        _check_unused(engine, name, image_id)
    engine.layout.remove(entry.digest)
    untagged.extend(own)
    deleted.append(image_id)
    for each in own:
        note(engine.paths, "image", "untag", id=image_id, name=each)
    note(engine.paths, "image", "remove", id=image_id, name=entry.reference)


def _check_unused(engine: Engine, name: str, image_id: str) -> None:
    from rootless.runtime import container as containers

    for each in containers.all_containers(engine.paths):
        if each.record["image_id"] == image_id:
            raise Conflict(
                f"image {name} is used by container {each.name}",
                hint=f"rootless rm {each.name}, or rmi -f: the container keeps its files",
            )


def _collect(engine: Engine, report: Report, *, downloads: bool = False) -> int:
    freed = garbage.collect(engine, downloads=downloads)
    if freed is None:
        report(Notice("another process uses the store: the next removal or prune frees the space"))
        return 0
    return freed.size_bytes


def prune_images(engine: Engine, request: PruneImagesRequest, report: Report = ignore) -> Removed:
    """Remove the images that the request means and everything that nothing needs then."""
    used = used_images(engine)
    chosen: dict[str, str] = {}
    with engine.use_store():
        for line in list_images(engine, ImagesRequest()):
            if line.read_only or line.image.image_id in used:
                continue
            if (request.all or line.is_dangling) and _passes(line.image, line.created_s, request):
                chosen[line.image.manifest_descriptor["digest"]] = line.image.image_id
        untagged: list[str] = []
        for entry in engine.layout.entries():
            if image_id_of(engine, entry) in chosen.values() and (
                request.all or not entry.reference
            ):
                names = [each.reference for each in engine.layout.remove(entry.digest)]
                untagged.extend(names)
                for name in filter(None, names):
                    note(engine.paths, "image", "untag", id=image_id_of(engine, entry), name=name)
    for image_id in dict.fromkeys(chosen.values()):
        note(engine.paths, "image", "remove", id=image_id)
    size_bytes = _collect(engine, report, downloads=True)
    return Removed(
        tuple(each for each in untagged if each), tuple(dict.fromkeys(chosen.values())), size_bytes
    )


def _passes(image: Image, created_s: float, request: PruneImagesRequest) -> bool:
    for text in request.filters:
        key, operator, value = split(text)
        if key == "until" and operator == "=":
            fits = created_s < parse_since(value, now_s=request.now_s)
        elif key == "label":
            fits = has_label(image, value) == (operator == "=")
        else:
            raise InvalidRequest(f"images cannot be pruned by {text!r}", hint="by until or label")
        if not fits:
            return False
    return True
