"""``images``: which images there are, filtered as docker and podman do."""

from __future__ import annotations

from rootless.engine.filters import has, split, truth
from rootless.engine.images import find, layer_sizes
from rootless.errors import InvalidRequest, RootlessError
from rootless.image.reference import is_name, parse_reference
from rootless.image.times import parse_since, parse_time
from rootless.runtime import container as containers
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine
    from rootless.image.digest import Digest
    from rootless.image.documents import Image
    from rootless.image.layout import Entry, Layout


class ImagesRequest(NamedTuple):
    """What to list; a filter is ``key=value`` or ``key!=value``.  ``now_s`` is when "2 hours ago" ends."""

    names: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    now_s: float | None = None


class ListedImage(NamedTuple):
    """A line of ``images``; one image has a line for each of its names."""

    image: Image
    reference: str
    digest: Digest
    created_s: float
    size_bytes: int
    containers: int
    read_only: bool
    is_index: bool

    @property
    def is_dangling(self) -> bool:
        """Whether the image has no name."""
        return not self.reference


def list_images(engine: Engine, request: ImagesRequest) -> list[ListedImage]:
    """The images that the request selects, newest first."""
    used = used_images(engine)
    found = _lines_of(engine, engine.layout, used, read_only=False)
    for other in engine.layout.others:
        found += _lines_of(engine, other, used, read_only=True)
    found.sort(key=lambda each: each.created_s, reverse=True)
    tests = [_test(engine, each, request) for each in request.filters]
    return [
        each
        for each in found
        if all(test(each) for test in tests) and _is_named(each, request.names)
    ]


def used_images(engine: Engine) -> dict[str, int]:
    """How many containers each image has, by its id."""
    used: dict[str, int] = {}
    for each in containers.all_containers(engine.paths, engine.damaged):
        image_id = each.record["image_id"]
        used[image_id] = used.get(image_id, 0) + 1
    return used


def _lines_of(
    engine: Engine, layout: Layout, used: dict[str, int], *, read_only: bool
) -> list[ListedImage]:
    found = []
    for entry in layout.entries():
        try:
            image = layout.image(entry, any_platform=True)
        except (RootlessError, OSError):
            continue  # `system check` names what is broken; a list must not stop at it
        found.append(_line(engine, entry, image, used=used, read_only=read_only))
    return found


def _line(
    engine: Engine, entry: Entry, image: Image, *, used: dict[str, int], read_only: bool
) -> ListedImage:
    return ListedImage(
        image=image,
        reference=entry.reference,
        digest=entry.source_digest or entry.digest,
        created_s=parse_time(image.config.get("created", "")),
        size_bytes=sum(layer_sizes(engine, image)),
        containers=used.get(image.image_id, 0),
        read_only=read_only,
        is_index=entry.digest != image.manifest_descriptor["digest"],
    )


def _is_named(line: ListedImage, names: tuple[str, ...]) -> bool:
    """Whether one of the arguments means the image: a repository, with or without a tag, or a pattern."""
    return not names or any(_fits(line, name) for name in names)


def _fits(line: ListedImage, pattern: str) -> bool:
    if not line.reference:
        return False
    from fnmatch import fnmatchcase

    reference = parse_reference(line.reference)
    if is_name(pattern):
        wanted = parse_reference(pattern)
        same_name = reference.name in (wanted.name, f"localhost/{pattern.partition(':')[0]}")
        return same_name and (":" not in pattern.rpartition("/")[2] or reference.tag == wanted.tag)
    forms = (
        str(reference),
        reference.name,
        reference.familiar,
        reference.familiar_name,
        reference.repository,
        reference.repository.rpartition("/")[2],
    )
    return any(fnmatchcase(form, pattern) for form in forms)


# -- filters ---------------------------------------------------------------------------------------


def _test(engine: Engine, text: str, request: ImagesRequest) -> Callable[[ListedImage], bool]:
    key, operator, value = split(text)
    test = _test_of(engine, key, value, request)
    if operator == "!=":
        return lambda line: not test(line)
    return test


_BOOLEANS: dict[str, Callable[[ListedImage], bool]] = {
    "dangling": lambda line: line.is_dangling,
    "containers": lambda line: line.containers > 0,
    "readonly": lambda line: line.read_only,
    "manifest": lambda line: line.is_index,
    "intermediate": lambda line: False,  # a build's steps are not images here
}


def _test_of(
    engine: Engine, key: str, value: str, request: ImagesRequest
) -> Callable[[ListedImage], bool]:
    if key in _BOOLEANS:
        wanted = truth(value)
        return lambda line: _BOOLEANS[key](line) == wanted
    match key:
        case "label":
            return lambda line: has_label(line.image, value)
        case "reference":
            return lambda line: _fits(line, value)
        case "id":
            prefix = value.removeprefix("sha256:")
            return lambda line: line.image.image_id[7:].startswith(prefix)
        case "digest":
            return lambda line: line.digest.startswith(value)
        case "before":
            limit = parse_time(find(engine, value).config.get("created", ""))
            return lambda line: line.created_s < limit
        case "since" | "after":
            limit = parse_time(find(engine, value).config.get("created", ""))
            return lambda line: line.created_s > limit
        case "until":
            end = parse_since(value, now_s=request.now_s)
            return lambda line: line.created_s < end
        case _:
            raise InvalidRequest(
                f"images cannot be filtered by {key!r}",
                hint="by label, reference, id, digest, before, since, until, "
                + ", ".join(_BOOLEANS),
            )


def has_label(image: Image, text: str) -> bool:
    """Whether the image has the label, with the value if ``text`` has one."""
    return has(image.container_config.get("Labels") or {}, text)
