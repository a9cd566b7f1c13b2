"""Use cases on stored images: make sure of one, list, describe, name."""

from __future__ import annotations

import json

from rootless import files
from rootless.errors import Conflict, InvalidRequest, NotFound, RegistryFailed, RootlessError
from rootless.events import Notice, ignore
from rootless.image.platforms import parse_platform
from rootless.image.reference import is_qualified, parse_reference
from rootless.runtime.journal import note
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.registries import Access
    from rootless.events import Report
    from rootless.image.digest import ChainID, Digest
    from rootless.image.documents import Image
    from rootless.image.layout import Entry

POLICIES = ("always", "missing", "never", "newer")


class TreeLine(NamedTuple):
    """A layer of an image, base first, and the names of images that end with it."""

    diff_id: str
    size_bytes: int
    names: tuple[str, ...]


class HistoryLine(NamedTuple):
    """A step of an image's making; ``image_id`` is None but for the newest."""

    image_id: Digest | None
    created: str
    created_by: str
    size_bytes: int
    comment: str
    empty_layer: bool


def ensure(
    engine: Engine,
    reference: str,
    *,
    policy: str = "missing",
    platform: str | None = None,
    report: Report = ignore,
    access: Access | None = None,
) -> Image:
    """A stored image with all its layers unpacked, pulled first where ``policy`` says so.

    ``policy`` is ``missing``, ``always``, ``never`` or ``newer``.
    """
    if policy not in POLICIES:
        raise InvalidRequest(f"no pull policy {policy!r}", hint=f"one of {', '.join(POLICIES)}")
    reference = reference.removeprefix("docker://")
    image = None
    if policy != "always":
        try:
            image = find(engine, reference, platform)
        except NotFound:
            if policy == "never" or is_id(reference):
                raise
    if image is not None and policy == "newer" and _is_outdated(engine, image, access, report):
        image = None
    if image is None:
        image = _pull(engine, reference, platform, access=access, report=report)
    if all(map(engine.layers.has, image.chain)):
        return image
    return _unpack(engine, image, platform, access=access, report=report)


def _pull(
    engine: Engine,
    reference: str,
    platform: str | None,
    *,
    access: Access | None,
    report: Report,
) -> Image:
    from rootless.engine import pull
    from rootless.engine.registries import Access

    request = pull.PullRequest(reference, platform=platform, access=access or Access())
    return pull.pull(engine, request, report)[0].image


def _unpack(
    engine: Engine,
    image: Image,
    platform: str | None,
    *,
    access: Access | None,
    report: Report,
) -> Image:
    """Unpack what is stored; where blobs are gone from the store, pull them again."""
    from rootless.engine.unpacking import unpack_stored

    try:
        unpack_stored(engine, image, report)
    except NotFound:
        if not image.reference:
            raise
        return _pull(engine, image.reference, platform, access=access, report=report)
    return image


def _is_outdated(engine: Engine, image: Image, access: Access | None, report: Report) -> bool:
    """Whether the registry has another image under the name; no when it cannot be asked."""
    from rootless.engine import pull
    from rootless.engine.registries import Access

    if not image.reference or parse_reference(image.reference).digest:
        return False
    request = pull.PullRequest(image.reference, access=access or Access())
    try:
        remote = pull.remote_digest(engine, request, report)
    except (RegistryFailed, NotFound) as error:
        report(Notice(f"using the stored {image.reference}: {error.message}", "warning"))
        return False
    entry = engine.layout.entry(image.reference)
    return remote not in (entry.digest, entry.source_digest)


def find(engine: Engine, name: str, platform: str | None = None) -> Image:
    """The stored image that a name, an id or a digest means; short names as registries.conf says."""
    wanted = parse_platform(platform) if platform else None
    try:
        return engine.layout.resolve(name, wanted)
    except NotFound:
        return engine.layout.resolve(_stored_name(engine, name), wanted)


def find_entry(engine: Engine, name: str) -> Entry:
    """The same, as the entry of the index: perhaps one for many platforms."""
    try:
        return engine.layout.entry(name)
    except NotFound:
        return engine.layout.entry(_stored_name(engine, name))


def find_to_remove(engine: Engine, name: str) -> Entry:
    """The same for a command that takes away: to pull the image would not help."""
    try:
        return find_entry(engine, name)
    except NotFound as error:
        raise NotFound(error.message, hint="rootless images lists them") from None


def _stored_name(engine: Engine, name: str) -> str:
    """What a short name means by alias or search, if that is stored; else the name as it is."""
    if is_qualified(name) or is_id(name):
        return name
    from rootless.engine import registries

    try:
        candidates = registries.load(engine).candidates(name)
    except InvalidRequest:
        return name
    stored = {entry.reference for entry in engine.layout.all_entries()}
    return next((str(each) for each in candidates if str(each) in stored), name)


def is_id(text: str) -> bool:
    """Whether the text can only be an image id: a digest, or 64 hexadecimal digits."""
    return len(text.removeprefix("sha256:")) == 64 and is_hexadecimal(text)


def is_hexadecimal(text: str) -> bool:
    """Whether the text can be the beginning of an image id."""
    return set(text.removeprefix("sha256:")) <= frozenset("0123456789abcdef")


def exists(engine: Engine, name: str) -> bool:
    """Whether an image of that name is stored."""
    try:
        find_entry(engine, name)
    except NotFound:
        return False
    return True


def tag(engine: Engine, source: str, targets: tuple[str, ...]) -> None:
    """Give a stored image further names."""
    references = [parse_reference(each) for each in targets]
    for reference, text in zip(references, targets, strict=True):
        if reference.digest:
            raise InvalidRequest(f"{text!r} has a digest, which a name cannot be given")
    with engine.use_store():
        entry = find_entry(engine, source)
        for reference in references:
            engine.layout.tag(reference, entry.descriptor, source_digest=entry.source_digest)
            note(engine.paths, "image", "tag", id=image_id_of(engine, entry), name=str(reference))


def untag(engine: Engine, image: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Take names away from an image, all it has when none are given; the image stays."""
    with engine.use_store():
        entry = find_to_remove(engine, image)
        check_own(engine, image, entry)
        own = [each.reference for each in _names_of(engine, entry) if each.reference]
        wanted = [str(parse_reference(each)) for each in names] or own
        for name in wanted:
            if name not in own:
                raise NotFound(f"{image} is not named {name}")
        for name in wanted:
            engine.layout.untag(name)
            note(engine.paths, "image", "untag", id=image_id_of(engine, entry), name=name)
    return tuple(wanted)


def _names_of(engine: Engine, entry: Entry) -> list[Entry]:
    return [each for each in engine.layout.entries() if each.digest == entry.digest]


def layer_sizes(engine: Engine, image: Image) -> tuple[int, ...]:
    """How many bytes each layer takes, base first: unpacked where it is, or else as a blob."""
    return tuple(
        unpacked_size(engine, chain_id) or layer["size"]
        for chain_id, layer in zip(image.chain, image.manifest["layers"], strict=True)
    )


def unpacked_size(engine: Engine, chain_id: ChainID) -> int:
    """How many bytes an unpacked layer holds; 0 for one that is not there."""
    form = engine.driver.form.name
    try:
        size = json.loads(files.read_bytes(f"{engine.paths.layer(form, chain_id)}/layer.json"))[
            "size"
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return 0
    return size if isinstance(size, int) else 0


def history(engine: Engine, name: str) -> tuple[HistoryLine, ...]:
    """How an image came to be, newest first."""
    image = find(engine, name)
    entries = image.config.get("history", [])
    sizes = list(layer_sizes(engine, image))
    if sum(not each.get("empty_layer") for each in entries) != len(sizes):
        # Without a history that fits, the layers are all that is known.
        entries = [{"comment": "the image does not say"} for _ in sizes]
    lines = []
    for number, entry in enumerate(entries):
        empty = bool(entry.get("empty_layer"))
        lines.append(
            HistoryLine(
                image_id=image.image_id if number == len(entries) - 1 else None,
                created=entry.get("created", ""),
                created_by=entry.get("created_by", ""),
                size_bytes=0 if empty else sizes.pop(0),
                comment=entry.get("comment", ""),
                empty_layer=empty,
            )
        )
    return tuple(reversed(lines))


def tree(engine: Engine, name: str) -> tuple[TreeLine, ...]:
    """The layers of an image, and which named images end with each."""
    image = find(engine, name)
    tops: dict[str, list[str]] = {}
    for each in engine.layout.images():
        if each.chain and each.reference:
            tops.setdefault(each.chain[-1], []).append(each.reference)
    return tuple(
        TreeLine(diff_id, size, tuple(tops.get(chain_id, ())))
        for diff_id, chain_id, size in zip(
            image.config["rootfs"]["diff_ids"],
            image.chain,
            layer_sizes(engine, image),
            strict=True,
        )
    )


def inspect_image(engine: Engine, name: str, platform: str | None = None) -> dict[str, Any]:
    """An image as ``docker image inspect`` describes it, with podman's additions."""
    image = find(engine, name, platform)
    entries = [
        each
        for each in engine.layout.all_entries()
        if each.digest == image.manifest_descriptor["digest"] or each.reference == image.reference
    ]
    config = image.config
    size = sum(layer_sizes(engine, image))
    return {
        "Id": image.image_id,
        "Digest": image.manifest_descriptor["digest"],
        "RepoTags": [each.reference for each in entries if _has_tag(each.reference)],
        "RepoDigests": repo_digests(entries),
        "Parent": "",
        "Comment": (config.get("history") or [{}])[-1].get("comment", ""),
        "Created": config.get("created", ""),
        "Author": config.get("author", ""),
        "Config": dict(image.container_config),
        "Architecture": config["architecture"],
        "Variant": config.get("variant", ""),
        "Os": config["os"],
        "Size": size,
        "VirtualSize": size,
        "CompressedSize": image.size_bytes,
        "GraphDriver": {
            "Name": engine.driver.name,
            "Data": {
                "LowerDir": ":".join(
                    engine.layers.path(each)
                    for each in reversed(image.chain)
                    if engine.layers.has(each)
                )
            },
        },
        "RootFS": {"Type": "layers", "Layers": list(config["rootfs"]["diff_ids"])},
        "Labels": dict(image.container_config.get("Labels") or {}),
        "Annotations": dict(image.manifest.get("annotations") or {}),
        "ManifestType": image.manifest_descriptor["mediaType"],
        "User": image.container_config.get("User", ""),
        "History": list(config.get("history", [])),
        "Descriptor": dict(image.manifest_descriptor),
    }


def repo_digests(entries: list[Entry]) -> list[str]:
    """``name@digest`` for every repository and every digest that it is known by there."""
    found: dict[str, None] = {}
    for entry in entries:
        if entry.reference:
            name = parse_reference(entry.reference).name
            for digest in (entry.source_digest, entry.digest):
                if digest:
                    found[f"{name}@{digest}"] = None
    return list(found)


def _has_tag(reference: str) -> bool:
    return bool(reference) and "@" not in reference


def check_own(engine: Engine, name: str, entry: Entry) -> None:
    """Raise Conflict for an image that is only in a store that is only read."""
    if engine.layout.is_own(entry):
        return
    place = next(each.path for each in engine.layout.others if each.is_own(entry))
    raise Conflict(
        f"image {name} is in {place}, which is only read",
        hint="whoever keeps that folder can remove it; without it: config.toml, additional-image-stores",
    )


def image_id_of(engine: Engine, entry: Entry) -> str:
    """The id of an entry's image; the digest of the entry where it is damaged or no image."""
    try:
        return engine.layout.image(entry, any_platform=True).image_id
    except (RootlessError, OSError):
        return entry.digest
