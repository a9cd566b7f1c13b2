"""``manifest``: indexes that are put together by hand from images for several platforms.

An index is a document like any other: each change stores a new one under the same name, whose digest is
what the commands print.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

from rootless import files
from rootless.engine.images import find_entry
from rootless.engine.registries import Access
from rootless.errors import Conflict, InvalidRequest, NotFound
from rootless.events import ignore
from rootless.image.documents import (
    INDEXES,
    OCI_INDEX,
    parse_config,
    parse_index,
    parse_manifest,
    to_json,
)
from rootless.image.platforms import (
    choose_manifest,
    parse_platform,
    platform_of_machine,
    platforms_of,
)
from rootless.image.reference import parse_reference
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.image.digest import Digest
    from rootless.image.documents import Descriptor, ImageIndex, Platform
    from rootless.image.layout import Entry


class Described(NamedTuple):
    """What is said of a member beyond its image; None where that is to stay as it is."""

    os: str | None = None
    arch: str | None = None
    variant: str | None = None
    os_version: str | None = None
    annotation: tuple[str, ...] = ()


class AddRequest(NamedTuple):
    """Images for an index, by names or ids; those that are not stored are pulled.

    Of an image that is an index itself ``all`` takes every member, otherwise the one for the platform.
    """

    name: str
    images: tuple[str, ...]
    all: bool = False
    described: Described = Described()
    access: Access = Access()


class CreateRequest(NamedTuple):
    """A new index; with ``amend`` one that may exist already."""

    name: str
    images: tuple[str, ...] = ()
    all: bool = False
    amend: bool = False
    annotation: tuple[str, ...] = ()
    access: Access = Access()


def create(engine: Engine, request: CreateRequest, report: Report = ignore) -> Digest:
    """Make an index; its digest.  Raises Conflict when the name is taken."""
    reference = str(parse_reference(request.name))
    with _changing(engine):
        entry = engine.layout.named(reference)
        if entry is not None and not (request.amend and entry.descriptor["mediaType"] in INDEXES):
            raise Conflict(
                f"{request.name} exists already",
                hint=f"rootless manifest rm {request.name}, or --amend to add to an index",
            )
        index = _empty() if entry is None else _read(engine, entry)
        _annotate(index, request.annotation)
        digest = _store(engine, reference, index)
    if not request.images:
        return digest
    add_request = AddRequest(request.name, request.images, request.all, access=request.access)
    return add(engine, add_request, report)


def add(engine: Engine, request: AddRequest, report: Report = ignore) -> Digest:
    """Put images into an index; its new digest.  A member of the same digest is replaced.

    Raises NotFound for an index or image that is not there.
    """
    reference, _ = _named(engine, request.name)
    found = [
        member for image in request.images for member in _members(engine, image, request, report)
    ]
    with _changing(engine):
        _, entry = _named(engine, request.name)
        index = _read(engine, entry)
        for member in found:
            _describe(member, request.described)
            kept = [each for each in index["manifests"] if each["digest"] != member["digest"]]
            index["manifests"] = [*kept, member]
        digest = _store(engine, reference, index)
        _forget_unnamed(engine, found)
        return digest


def annotate(engine: Engine, name: str, image: str | None, described: Described) -> Digest:
    """Change what an index says of a member, or with None of itself; its new digest."""
    with _changing(engine):
        reference, entry = _named(engine, name)
        index = _read(engine, entry)
        if image is None:
            if described._replace(annotation=()) != Described():
                raise InvalidRequest("an index has no platform", hint="only --annotation")
            _annotate(index, described.annotation)
        else:
            _describe(_member(engine, index, image, name=name), described)
        return _store(engine, reference, index)


def remove_member(engine: Engine, name: str, image: str) -> Digest:
    """Take a member out of an index; its new digest."""
    with _changing(engine):
        reference, entry = _named(engine, name)
        index = _read(engine, entry)
        index["manifests"].remove(_member(engine, index, image, name=name))
        return _store(engine, reference, index)


def remove(engine: Engine, names: tuple[str, ...]) -> list[str]:
    """Remove indexes; the images in them stay if they have names of their own.  The digests."""
    from rootless.engine import garbage

    removed = []
    for name in names:
        with engine.use_store():
            reference, entry = _named(engine, name)
            engine.layout.remove(entry.digest)
            removed += [f"Untagged: {reference}", f"Deleted: {entry.digest}"]
    garbage.collect(engine)
    return removed


def exists(engine: Engine, name: str) -> bool:
    """Whether there is an index of that name."""
    try:
        _named(engine, name)
    except (NotFound, Conflict):
        return False
    return True


def inspect(engine: Engine, name: str, access: Access, report: Report = ignore) -> dict[str, Any]:
    """The document of a stored index, or else what a registry has under the name."""
    try:
        entry = find_entry(engine, name)
        content = engine.layout.read_blob(entry.descriptor)
    except NotFound:
        from rootless.engine import registries

        content = registries.first_answer(
            registries.clients(
                engine, registries.load(engine).candidates(name), access, report=report
            ),
            lambda reference, client: client.manifest(reference.target).content,
            name=name,
        )
    document: dict[str, Any] = json.loads(content)
    return document


# -- the index -------------------------------------------------------------------------------------


@contextmanager
def _changing(engine: Engine) -> Iterator[None]:
    """One change at a time, builds that fill the same index included."""
    engine.layout.create()
    with engine.use_store(), files.lock(f"{engine.paths.images}/members.lock"):
        yield


def _empty() -> ImageIndex:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def _named(engine: Engine, name: str) -> tuple[str, Entry]:
    """The index of that name, and how the name is stored.  Raises NotFound, or Conflict for an image."""
    try:
        entry = find_entry(engine, name)
    except NotFound:
        raise NotFound(f"no index {name}", hint=f"rootless manifest create {name}") from None
    if entry.descriptor["mediaType"] not in INDEXES:
        raise Conflict(f"{name} is an image, not an index", hint="rootless manifest create NAME")
    if not entry.reference:
        raise InvalidRequest(f"the index {name} has no name", hint=f"rootless tag {name} NAME")
    return entry.reference, entry


def _read(engine: Engine, entry: Entry) -> ImageIndex:
    return parse_index(engine.layout.read_blob(entry.descriptor), name=entry.reference)


def _store(engine: Engine, reference: str, index: ImageIndex) -> Digest:
    """Store the document and give it the name; the one before goes, unless it has another name."""
    content = to_json(index)
    digest = engine.layout.put_blob(content)
    before = engine.layout.named(reference)
    media_type = index.get("mediaType", OCI_INDEX)
    engine.layout.tag(reference, {"mediaType": media_type, "digest": digest, "size": len(content)})
    if before is not None and before.digest != digest:
        rest = [each for each in engine.layout.entries() if each.digest == before.digest]
        if not any(each.reference for each in rest):
            engine.layout.remove(before.digest)
    return digest


def _annotate(target: ImageIndex | Descriptor, pairs: tuple[str, ...]) -> None:
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InvalidRequest(f"{pair!r} is not an annotation", hint="write key=value")
        target.setdefault("annotations", {})[key] = value


def _describe(member: Descriptor, described: Described) -> None:
    _annotate(member, described.annotation)
    platform: Platform = member.setdefault("platform", {"architecture": "", "os": ""})
    if described.os is not None:
        platform["os"] = described.os
    if described.arch is not None:
        platform["architecture"] = described.arch
    if described.variant is not None:
        platform["variant"] = described.variant
    if described.os_version is not None:
        platform["os.version"] = described.os_version


def _member(engine: Engine, index: ImageIndex, image: str, *, name: str) -> Descriptor:
    """The member that an image's name or id, or a digest, means."""
    wanted = {image, f"sha256:{image}"}
    try:
        wanted.add(find_entry(engine, image).digest)
    except (NotFound, InvalidRequest):
        pass
    for each in index["manifests"]:
        if each["digest"] in wanted:
            return each
    raise NotFound(f"{image} is not in {name}", hint=f"rootless manifest inspect {name}")


# -- its members -----------------------------------------------------------------------------------


def _members(engine: Engine, image: str, request: AddRequest, report: Report) -> list[Descriptor]:
    described = request.described
    wanted = platform_of_machine(os.uname().machine)
    if described.arch is not None:
        wanted = parse_platform(
            "/".join(filter(None, (described.os or "linux", described.arch, described.variant)))
        )
    if image.startswith("docker://"):
        return _pulled(engine, image.removeprefix("docker://"), wanted, request, report)
    image = image.removeprefix("containers-storage:")
    try:
        descriptor = find_entry(engine, image).descriptor
    except NotFound:
        return _pulled(engine, image, wanted, request, report)
    if descriptor["mediaType"] not in INDEXES:
        return [_with_platform(engine, descriptor)]
    index = parse_index(engine.layout.read_blob(descriptor), name=image)
    chosen = index["manifests"] if request.all else [choose_manifest(index, wanted, name=image)]
    for each in chosen:
        if not engine.layout.has_blob(each["digest"]):
            raise NotFound(f"{each['digest']} of {image} is not stored", hint="pull that platform")
    return chosen


def _with_platform(engine: Engine, descriptor: Descriptor) -> Descriptor:
    """A member that says what its image is for."""
    manifest = parse_manifest(engine.layout.read_blob(descriptor), name=descriptor["digest"])
    config = parse_config(
        engine.layout.read_blob(manifest["config"]), name=manifest["config"]["digest"]
    )
    platform: Platform = {"architecture": config["architecture"], "os": config["os"]}
    if config.get("variant"):
        platform["variant"] = config["variant"]
    return {
        "mediaType": descriptor["mediaType"],
        "digest": descriptor["digest"],
        "size": descriptor["size"],
        "platform": platform,
    }


def _pulled(
    engine: Engine, image: str, wanted: Platform, request: AddRequest, report: Report
) -> list[Descriptor]:
    """Pull what is to be a member, with ``all`` for every platform; only the index will name it."""
    from rootless.engine.pull import PullRequest, pull, remote_digest
    from rootless.image.platforms import platform_text

    pull_request = PullRequest(image, access=request.access)
    exact = f"{_without_tag(image)}@{remote_digest(engine, pull_request, report)}"
    document = inspect(engine, exact, request.access, report)
    platforms: list[str | None] = [None]
    if "manifests" in document:
        index = parse_index(to_json(document), name=image)
        platforms = [*platforms_of(index)] if request.all else [platform_text(wanted)]
    found = []
    before = {each.reference for each in engine.layout.entries()}
    for platform in platforms:
        # By digest: what the name means here stays as it is.
        pull_request = PullRequest(exact, platform=platform, access=request.access)
        [result] = pull(engine, pull_request, report)
        found.append(_with_platform(engine, result.image.manifest_descriptor))
        if result.image.reference not in before:
            engine.layout.untag(result.image.reference)
    return found


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    colon = name.rfind(":")
    return name[:colon] if colon > name.rfind("/") else name


def _forget_unnamed(engine: Engine, members: list[Descriptor]) -> None:
    """Images that were pulled for an index only are no images of their own."""
    for member in members:
        entries = [each for each in engine.layout.entries() if each.digest == member["digest"]]
        if entries and not any(each.reference for each in entries):
            engine.layout.remove(member["digest"])
