"""``--cache-from`` and ``--cache-to``: the build cache in a directory, a tar file or a registry."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile

from rootless import files
from rootless.build import cache_mounts
from rootless.build.archive import write_tree
from rootless.build.cache_image import ARTIFACT, MOUNT, TAG, Contents, decode, encode
from rootless.build.downloads import link_or_copy
from rootless.build.placement import Placement
from rootless.build.selection import View
from rootless.build.unpack import unpack_archive
from rootless.engine import registries
from rootless.errors import ImageRefused, InvalidRequest, NotFound, RegistryFailed
from rootless.events import Notice
from rootless.image.digest import Digest, digest_of
from rootless.image.documents import OCI_MANIFEST, parse_manifest
from rootless.image.layout import Layout
from rootless.image.reference import parse_reference
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING, BinaryIO, NamedTuple
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.build.cache import Record
    from rootless.build.grammar import CachePlace
    from rootless.engine import Engine
    from rootless.engine.registries import Access
    from rootless.events import Report
    from rootless.image.documents import Descriptor
    from rootless.image.reference import Reference
    from rootless.registry.client import Client

_CHUNK = 1 << 20


class Imported(NamedTuple):
    """A cache that may be asked; ``copy`` writes one of its blobs to a file, unverified."""

    contents: Contents
    copy: Callable[[Descriptor, BinaryIO], None]


def open_caches(
    engine: Engine, places: Iterable[CachePlace], *, scratch: str, access: Access, report: Report
) -> list[Imported]:
    """Every cache that is there.  One that is missing or unreachable is told about, and no failure."""
    found = []
    for place in places:
        try:
            if place.kind == "registry":
                found.append(_from_registry(engine, place, access, report))
            else:
                found.append(_from_layout(place, scratch))
        except (NotFound, RegistryFailed) as error:
            report(Notice(f"no cache from {place.place}: {error.message}", "warning"))
    return found


def _from_layout(place: CachePlace, scratch: str) -> Imported:
    path = place.place
    if place.kind == "tar":
        path = f"{scratch}/cache-{files.random_name(4)}"
        _unpack_tar(place.place, path)
    if not os.path.exists(f"{path}/index.json"):
        raise NotFound(f"{place.place} holds no build cache")
    layout = Layout(path)
    entry = next((each for each in layout.entries() if each.reference == TAG), None)
    if entry is None:
        raise NotFound(f"{place.place} holds no build cache")
    manifest = parse_manifest(layout.read_blob(entry.descriptor), name=place.place)
    config = layout.read_blob(manifest["config"])

    def copy(descriptor: Descriptor, target: BinaryIO) -> None:
        with layout.open_blob(descriptor["digest"]) as source:
            while chunk := source.read(_CHUNK):
                target.write(chunk)

    return Imported(decode(manifest, config, name=place.place), copy)


def _unpack_tar(archive: str, path: str) -> None:
    """The members of a layout, each to the place that its name may have."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = os.path.normpath("/" + member.name).lstrip("/")
                source = tar.extractfile(member) if member.isreg() else None
                if source is None:
                    continue
                os.makedirs(os.path.dirname(f"{path}/{name}"), mode=0o700, exist_ok=True)
                with open(f"{path}/{name}", "wb") as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
    except FileNotFoundError:
        raise NotFound(f"there is no file {archive}") from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ImageRefused(f"{archive} is no build cache: {error}") from None


def _from_registry(engine: Engine, place: CachePlace, access: Access, report: Report) -> Imported:
    candidates = registries.load(engine).candidates(place.place)

    def asked(ask: Callable[[Reference, Client], object]) -> object:
        clients = registries.clients(engine, candidates, access, report=report)
        return registries.first_answer(clients, ask, name=place.place)

    def read(reference: Reference, client: Client) -> Contents:
        top = client.manifest(reference.target)
        manifest = parse_manifest(top.content, name=place.place)
        return decode(manifest, client.small_blob(manifest["config"]), name=place.place)

    def copy(descriptor: Descriptor, target: BinaryIO) -> None:
        def stream(reference: Reference, client: Client) -> None:
            target.seek(0)
            target.truncate()
            response, _ = client.blob(descriptor["digest"])
            with response:
                for chunk in response.stream(_CHUNK):
                    target.write(chunk)

        asked(stream)

    contents = asked(read)
    assert isinstance(contents, Contents)
    return Imported(contents, copy)


def fetcher(engine: Engine, imported: list[Imported], scratch: str) -> Callable[[Record], bool]:
    """What brings the blob of a record into the store, from the first cache that has it."""

    def fetch(record: Record) -> bool:
        for cache in imported:
            for known in cache.contents.records.values():
                if known.digest == record.digest:
                    return _bring(engine, cache, record, scratch)
        return False

    return fetch


def _bring(engine: Engine, cache: Imported, record: Record, scratch: str) -> bool:
    descriptor: Descriptor = {
        "mediaType": record.media_type,
        "digest": record.digest,
        "size": record.size_bytes,
    }
    path = f"{scratch}/blob-{files.random_name()}"
    _copy_verified(cache, descriptor, path)
    engine.layout.put_blob(path, record.digest)
    return True


def _copy_verified(cache: Imported, descriptor: Descriptor, path: str) -> None:
    with open(path, "wb+") as target:
        cache.copy(descriptor, target)
        target.flush()
        target.seek(0)
        algorithm, _, wanted = descriptor["digest"].partition(":")
        digest = hashlib.new(algorithm)
        while chunk := target.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != wanted:
        raise ImageRefused(f"the cache's blob {descriptor['digest']} has other content")


def restore_mounts(
    engine: Engine, imported: list[Imported], wanted: Iterable[str], scratch: str
) -> None:
    """Fill the cache mounts that a build uses and that are not here, from the first cache that has them."""
    for cache_id in wanted:
        directory = cache_mounts.directory_of(engine.paths, cache_id)
        source = next((each for each in imported if cache_id in each.contents.mounts), None)
        if source is None or os.path.exists(f"{directory}/data"):
            continue
        mount = cache_mounts.acquire(engine.paths, cache_id, "locked")
        path = f"{scratch}/mount-{files.random_name()}"
        try:
            _copy_verified(source, source.contents.mounts[cache_id], path)
            _unpack_mount(engine, path, mount.data)
        finally:
            mount.release()


def _unpack_mount(engine: Engine, archive: str, data: str) -> None:
    id_map = engine.id_map

    def work() -> None:
        os.umask(0)
        os.mkdir(f"{data}.new", 0o755)
        root = os.open(f"{data}.new", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        fd = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
        placement = Placement(root, owners=Owners(id_map))
        unpack_archive(fd, placement, "/")
        placement.finish()
        os.rename(f"{data}.new", data)

    enter.call(work, id_map)


def export(
    engine: Engine,
    place: CachePlace,
    records: dict[Digest, Record],
    mounts: Iterable[str],
    *,
    scratch: str,
    access: Access,
    report: Report,
) -> None:
    """Write what a build used or made."""
    packed = _pack_mounts(engine, mounts, scratch) if place.mounts else {}
    contents = Contents(records, {name: descriptor for name, (descriptor, _) in packed.items()})
    config, manifest = encode(contents)
    blobs = {record.digest: engine.layout.blob_path(record.digest) for record in records.values()}
    blobs |= {descriptor["digest"]: path for descriptor, path in packed.values()}
    if place.kind == "registry":
        _push(engine, place, (config, manifest), packed, access=access, report=report)
        return
    target = (
        place.place if place.kind == "directory" else f"{scratch}/export-{files.random_name(4)}"
    )
    try:
        _write_layout(target, (config, manifest), blobs)
        if place.kind == "tar":
            _write_tar(target, place.place)
    except OSError as error:
        raise InvalidRequest(f"cannot write {place.place}: {error.strerror}") from None


def _pack_mounts(
    engine: Engine, mounts: Iterable[str], scratch: str
) -> dict[str, tuple[Descriptor, str]]:
    """Each cache mount as a compressed tar in a file."""
    packed = {}
    for cache_id in mounts:
        data = f"{cache_mounts.directory_of(engine.paths, cache_id)}/data"
        if not os.path.isdir(data):
            continue
        path = f"{scratch}/mount-{files.random_name()}"
        _pack_mount(engine, data, path)
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        descriptor: Descriptor = {
            "mediaType": MOUNT,
            "digest": Digest(f"sha256:{digest.hexdigest()}"),
            "size": os.path.getsize(path),
        }
        packed[cache_id] = descriptor, path
    return packed


def _pack_mount(engine: Engine, data: str, path: str) -> None:
    plain = os.open(f"{path}.tar", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def work() -> None:
        root = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        write_tree(View(root, "cache mount"), plain, with_root=True)

    try:
        enter.call(work, engine.id_map)
        os.lseek(plain, 0, os.SEEK_SET)
        with (
            open(path, "wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0) as target,
        ):
            while chunk := os.read(plain, _CHUNK):
                target.write(chunk)
    finally:
        os.close(plain)
        os.unlink(f"{path}.tar")


def _write_layout(path: str, documents: tuple[bytes, bytes], blobs: dict[Digest, str]) -> None:
    """An OCI layout that holds the cache; what it held before and nothing needs is removed."""
    os.makedirs(path, exist_ok=True)
    layout = Layout(path)
    layout.create()
    for digest, source in blobs.items():
        if not layout.has_blob(digest):
            temporary = f"{path}/blobs/.{files.random_name()}"
            link_or_copy(source, temporary)
            layout.put_blob(temporary, digest)
    config, manifest = (layout.put_blob(each) for each in documents)
    for entry in layout.entries():
        layout.remove(entry.digest)
    layout.tag(TAG, {"mediaType": OCI_MANIFEST, "digest": manifest, "size": len(documents[1])})
    kept = {digest.partition(":")[2] for digest in (*blobs, config, manifest)}
    for name in os.listdir(f"{path}/blobs/sha256"):
        if name not in kept:
            os.unlink(f"{path}/blobs/sha256/{name}")


def _write_tar(layout: str, target: str) -> None:
    temporary = f"{target}.{files.random_name()}.tmp"
    with tarfile.open(temporary, "w") as archive:
        for name in ("oci-layout", "index.json", "blobs"):
            archive.add(f"{layout}/{name}", name, filter=_plain)
    os.rename(temporary, target)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _push(
    engine: Engine,
    place: CachePlace,
    documents: tuple[bytes, bytes],
    packed: dict[str, tuple[Descriptor, str]],
    *,
    access: Access,
    report: Report,
) -> None:
    from rootless.engine.push import PushRequest, push

    reference = parse_reference(place.place)
    for descriptor, path in packed.values():
        engine.layout.put_blob(path, descriptor["digest"])
    for document in documents:
        engine.layout.put_blob(document)
    manifest = digest_of(documents[1])
    held = f"localhost/{ARTIFACT.rpartition('/')[2].replace('.', '-')}:{files.random_name()}"
    engine.layout.tag(
        held, {"mediaType": OCI_MANIFEST, "digest": manifest, "size": len(documents[1])}
    )
    try:
        push(engine, PushRequest(held, destination=str(reference), access=access), report)
    finally:
        engine.layout.remove(manifest)
