"""``system check --repair``: what is broken goes, and comes again from a registry or from its blob.

Files of a user are never removed for the sake of order: a volume keeps its data, and a container that
cannot be understood stays unless force is asked for.
"""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.engine.garbage import exclusive
from rootless.errors import Conflict, NotFound, RootlessError
from rootless.image.digest import Digest, digest_of
from rootless.image.documents import (
    DOCUMENT_LIMIT,
    REF_NAME,
    is_index,
    media_type_of,
    parse_document,
)
from rootless.image.layout import SOURCE_DIGEST, is_line
from rootless.image.platforms import platform_text
from rootless.image.reference import parse_reference
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.engine import Engine
    from rootless.engine.check import Checkup, Finding
    from rootless.events import Report
    from rootless.image.documents import Descriptor, Image
    from rootless.image.layout import Entry
    from rootless.runtime.container import Container


def repair(checkup: Checkup, report: Report, *, force: bool) -> tuple[str, ...]:
    """Mend what can be mended; what was done, a sentence each.

    Raises Conflict when another process uses the store.
    """
    engine = checkup.engine
    done: list[str] = []
    wanted = _unpacked_images(engine)
    with exclusive(engine) as alone:
        if not alone:
            raise Conflict(
                "another process uses the store", hint="repeat the repair when it has ended"
            )
        for finding in checkup.findings:
            mend = _MENDERS.get(finding.kind)
            if mend is not None and (said := mend(engine, finding, force)):
                done.append(f"{finding.kind} {finding.name}: {said}")
    for entry in _incomplete(engine, checkup):
        done.append(
            f"image {entry.reference or entry.digest}: " + _recover(engine, entry, report, force)
        )
    for image in wanted:
        done += _unpack_again(engine, image, report)
    return tuple(done)


# -- what is broken goes, with the store held alone ------------------------------------------------


def _drop_file(engine: Engine, finding: Finding, force: bool) -> str:
    try:
        os.unlink(finding.path)
    except FileNotFoundError:
        return ""
    except (IsADirectoryError, PermissionError):
        engine.layers.remove(finding.path)
    return "removed"


def _drop_layer(engine: Engine, finding: Finding, force: bool) -> str:
    files_of = f"{finding.path}/diff"
    for container in _containers(engine):
        lower = container.record["launch"]["rootfs"].get("lower") or ()
        if files_of in lower and container.state() is not None:
            return ""  # it would lose its files while it runs
    engine.layers.remove(finding.path)
    return "removed"


def _mend_index(engine: Engine, finding: Finding, force: bool) -> str:
    layout = engine.layout
    if finding.name == "oci-layout":
        layout.create()
        return "written anew"
    try:
        kept = _lines_left(finding.path)
        os.rename(finding.path, f"{finding.path}.damaged")
    except FileNotFoundError:
        return ""
    for line in kept:
        if layout.has_blob(line["digest"]):
            told = line.get("annotations") or {}
            source = told.get(SOURCE_DIGEST)
            layout.tag(
                told.get(REF_NAME, ""), line, source_digest=Digest(source) if source else None
            )
    names = _names_by_image(engine)
    found = _documents(engine)
    listed = {child for _, children in found for child in children}
    listed.update(each.digest for each in layout.entries())
    number = 0
    for descriptor, _ in found:
        if descriptor["digest"] not in listed:
            layout.tag("", descriptor)
            number += 1
            for name in names.get(_image_id(engine, descriptor), ()):
                layout.tag(name, descriptor)
    return f"made anew: {len(kept)} lines could be read, {number} images were found without"


def _lines_left(path: str) -> list[Descriptor]:
    """The lines of a damaged index that can still be read."""
    try:
        lines = json.loads(files.read_bytes(path))["manifests"]
        return [each for each in lines if is_line(each)]
    except (ValueError, LookupError, TypeError):
        return []


def _documents(engine: Engine) -> list[tuple[Descriptor, tuple[str, ...]]]:
    """Every manifest and index among the blobs, and what each index lists."""
    from rootless.engine.check_images import stored_blobs

    found: list[tuple[Descriptor, tuple[str, ...]]] = []
    for path, digest in stored_blobs(engine.layout):
        if not digest or os.path.getsize(path) > DOCUMENT_LIMIT:
            continue
        content = files.read_bytes(path)
        if not content.startswith(b"{") or digest_of(content, digest.partition(":")[0]) != digest:
            continue
        try:
            document = parse_document(content, media_type="", name=digest)
        except RootlessError:
            continue  # a config, or something else
        children = (
            tuple(each["digest"] for each in document["manifests"]) if is_index(document) else ()
        )
        descriptor: Descriptor = {
            "mediaType": media_type_of(document),
            "digest": digest_of(content, digest.partition(":")[0]),
            "size": len(content),
        }
        found.append((descriptor, children))
    return found


def _names_by_image(engine: Engine) -> dict[str, set[str]]:
    """What containers call the images that they were made from."""
    names: dict[str, set[str]] = {}
    for each in _containers(engine):
        try:
            reference = str(parse_reference(each.record["image"]))
        except RootlessError:
            continue
        if "@" not in reference:
            names.setdefault(each.record["image_id"], set()).add(reference)
    return names


def _image_id(engine: Engine, descriptor: Descriptor) -> str:
    try:
        return engine.layout.image_of(descriptor).image_id
    except (RootlessError, OSError):
        return ""


def _mend_container(engine: Engine, finding: Finding, force: bool) -> str:
    if finding.problem.startswith("lacks its directory"):
        os.makedirs(finding.path, mode=0o755, exist_ok=True)
        return "made the directory, which is empty"
    if finding.problem.startswith("lacks the layer") or not force:
        return ""  # its layers come again with its image; its own files are not ours to remove
    for name in os.listdir(engine.paths.names):
        store.release_name(engine.paths, name, os.path.basename(finding.path))
    engine.layers.remove(finding.path)
    return "removed"


def _mend_name(engine: Engine, finding: Finding, force: bool) -> str:
    if finding.problem == "does not lead to its container":
        return _name_again(engine, finding.name)
    try:
        os.unlink(finding.path)
    except OSError:
        return ""
    return "removed"


def _name_again(engine: Engine, name: str) -> str:
    for each in _containers(engine):
        if each.name == name:
            try:
                store.claim_name(engine.paths, name, each.id)
                return "leads to its container again"
            except Conflict:
                other = f"{name}_{each.id[:4]}"
                store.claim_name(engine.paths, other, each.id)
                store.update_record(each, {"name": other})
                return f"belongs to another container; this one is called {other} now"
    return ""


def _mend_volume(engine: Engine, finding: Finding, force: bool) -> str:
    if finding.path.endswith("/_data"):
        os.makedirs(finding.path, mode=0o755, exist_ok=True)
        return "made its directory, which is empty"
    record = {"created": store.timestamp(), "labels": {}, "options": {}, "filled": True}
    files.write_atomic(finding.path, json.dumps(record).encode())
    return "has a new record; its labels are lost, its files are as they were"


_MENDERS: dict[str, Callable[[Engine, Finding, bool], str]] = {
    "index": _mend_index,
    "blob": _drop_file,
    "record": _drop_file,
    "layer": _drop_layer,
    "container": _mend_container,
    "name": _mend_name,
    "volume": _mend_volume,
    "network": lambda engine, finding, force: _drop_file(engine, finding, force) if force else "",
}


# -- what is needed comes again --------------------------------------------------------------------


def _unpacked_images(engine: Engine) -> list[Image]:
    """The images that are to be unpacked: those that are in part, and those that containers need."""
    used = {each.record["image_id"] for each in _containers(engine)}
    try:
        images = engine.layout.images()
    except RootlessError:
        return []
    return [
        each for each in images if each.image_id in used or any(map(engine.layers.has, each.chain))
    ]


def _containers(engine: Engine) -> Iterator[Container]:
    """The containers whose record can be read."""
    for each in store.ids_of(engine.paths):
        try:
            container = store.load(engine.paths, each)
            if container.record["image_id"] and container.record["launch"]["rootfs"]:
                yield container
        except (RootlessError, LookupError, TypeError, AttributeError):
            continue


def _incomplete(engine: Engine, checkup: Checkup) -> Iterator[Entry]:
    damaged = {each.name for each in checkup.findings if each.kind == "image"}
    for entry in engine.layout.entries():
        if (entry.reference or entry.digest) in damaged:
            yield entry


def _recover(engine: Engine, entry: Entry, report: Report, force: bool) -> str:
    """Pull an image again; where that fails, remove it unless it still is of use."""
    try:
        _pull_again(engine, entry, report)
        return "pulled again"
    except (RootlessError, OSError) as error:
        reason = getattr(error, "message", str(error))
    image = _readable(engine, entry)
    if not force and image is not None and _is_useful(engine, image):
        return f"stays as it is, for it runs: {reason}"
    engine.layout.remove(entry.digest)
    return f"removed: {reason}"


def _pull_again(engine: Engine, entry: Entry, report: Report) -> None:
    """By digest, so that it is the same image whatever its tag means now."""
    from rootless.engine.pull import PullRequest, pull

    if not entry.reference:
        raise NotFound("it has no name to pull it by")
    reference = parse_reference(entry.reference)
    exact = str(reference._replace(tag=None, digest=entry.source_digest or entry.digest))
    had = engine.layout.named(exact) is not None and entry.reference == exact
    image = _readable(engine, entry)
    platform = platform_text(image.config) if image is not None else None
    result = pull(engine, PullRequest(exact, platform=platform), report)[0]
    if not had:
        engine.layout.untag(exact)
    if not engine.layout.has_blob(entry.digest) or result.image.manifest_descriptor is None:
        raise NotFound("the registry has another image now")


def _readable(engine: Engine, entry: Entry) -> Image | None:
    try:
        return engine.layout.image(entry, any_platform=True)
    except (RootlessError, OSError):
        return None


def _is_useful(engine: Engine, image: Image) -> bool:
    if all(map(engine.layers.has, image.chain)):
        return True
    return any(each.record["image_id"] == image.image_id for each in _containers(engine))


def _unpack_again(engine: Engine, image: Image, report: Report) -> Iterator[str]:
    from rootless.engine.unpacking import unpack_stored

    if all(map(engine.layers.has, image.chain)):
        return
    try:
        unpack_stored(engine, image, report)
        yield f"image {image.reference or image.image_id}: unpacked again"
    except (RootlessError, OSError) as error:
        yield f"image {image.reference or image.image_id}: not unpacked: {error}"
