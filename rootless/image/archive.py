"""Archives of images: the tar that ``save`` writes, and what is found in one that others wrote.

What is written is an OCI layout and docker's format at once.  What is read may be either, in any order
of members, from a pipe: every file is spooled and hashed once, and names in the archive are never paths.
"""

from __future__ import annotations

import json
import os
import posixpath

from rootless import files
from rootless.errors import ImageRefused, Unsupported
from rootless.image import magic
from rootless.image.digest import Digest, digest_of
from rootless.image.documents import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    DOCUMENT_LIMIT,
    OCI_INDEX,
    REF_NAME,
    parse_config,
    to_json,
)
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Collection, Iterable

    from rootless.image.documents import Descriptor, Image
    from rootless.typed import BinaryIO

CONTAINERD_NAME = "io.containerd.image.name"
_MEMBER_LIMIT = 100_000
_LINK_LIMIT = 10
_BLOCK_BYTES = 1 << 20
_LAYOUT_HEADER = b'{"imageLayoutVersion":"1.0.0"}'


class Blob(NamedTuple):
    """A blob to write: its digest, its size and the file it is in."""

    digest: str
    size_bytes: int
    path: str


class Member(NamedTuple):
    """A file of an archive that was read, where it lies now, and the sha256 of what it holds."""

    path: str
    size_bytes: int
    digest: Digest


# -- writing ---------------------------------------------------------------------------------------


def write_archive(
    output: int,
    *,
    entries: Iterable[Descriptor],
    images: Iterable[tuple[Image, tuple[str, ...]]],
    blobs: Collection[Blob],
) -> None:
    """Write an archive to a file or pipe.

    ``entries`` are the lines of index.json; ``images`` come with their full names, which docker and podman
    read alike.
    """
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    described = [
        {
            "Config": _blob_name(image.config_digest),
            "RepoTags": list(names),
            "Layers": [_blob_name(each["digest"]) for each in image.manifest["layers"]],
        }
        for image, names in images
    ]
    # Documents come first: a reader of a pipe knows early what it gets.
    for name, content in (
        ("oci-layout", _LAYOUT_HEADER),
        ("index.json", to_json(index)),
        ("manifest.json", to_json(described)),
    ):
        files.write_all(output, _header(name, len(content)) + content + _padding(len(content)))
    # skopeo makes missing directories itself, and then fails to give them to root.
    directories = {"blobs", *(_blob_name(each.digest).rpartition("/")[0] for each in blobs)}
    for name in sorted(directories):
        files.write_all(output, _header(name, 0, is_directory=True))
    for blob in blobs:
        files.write_all(output, _header(_blob_name(blob.digest), blob.size_bytes))
        _copy(blob, output)
        files.write_all(output, _padding(blob.size_bytes))
    files.write_all(output, bytes(1024))


def _blob_name(digest: str) -> str:
    algorithm, _, hexadecimal = digest.partition(":")
    return f"blobs/{algorithm}/{hexadecimal}"


def _header(name: str, size: int, *, is_directory: bool = False) -> bytes:
    import tarfile

    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o755 if is_directory else 0o644
    if is_directory:
        member.type = tarfile.DIRTYPE
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % 512)


def _copy(blob: Blob, output: int) -> None:
    source = os.open(blob.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = blob.size_bytes
        while left:
            count = os.sendfile(output, source, None, min(left, 1 << 30))
            if not count:
                raise ImageRefused(f"stored blob {blob.digest} is shorter than it should be")
            left -= count
    finally:
        os.close(source)


# -- reading ---------------------------------------------------------------------------------------


class Spool:
    """The files of an archive, spooled into ``directory`` under numbers."""

    def __init__(self, directory: str):
        self._directory = directory
        self._members: dict[str, Member] = {}
        self._links: dict[str, str] = {}

    def read(self, stream: BinaryIO) -> None:
        """Read a tar stream to its end.  Raises ImageRefused when it is none."""
        import tarfile

        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for number, member in enumerate(archive):
                    if number >= _MEMBER_LIMIT:
                        raise ImageRefused(f"the archive has more than {_MEMBER_LIMIT} members")
                    self._take(archive, member)
        except tarfile.TarError as error:
            raise ImageRefused(f"this is not an image archive: {error}") from None

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = _clean(member.name)
        if member.issym() or member.islnk():
            base = posixpath.dirname(name) if member.issym() else ""
            self._links[name] = _clean(posixpath.join(base, member.linkname))
        elif member.isreg() and (source := archive.extractfile(member)) is not None:
            self._members[name] = self._store(source, len(self._members))

    def _store(self, source: Any, number: int) -> Member:
        import hashlib

        path = f"{self._directory}/{number}"
        hashed, size = hashlib.sha256(), 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while block := source.read(_BLOCK_BYTES):
                hashed.update(block)
                size += len(block)
                files.write_all(fd, block)
        finally:
            os.close(fd)
        return Member(path, size, Digest(f"sha256:{hashed.hexdigest()}"))

    def find(self, name: str) -> Member | None:
        """A file by its name in the archive; links are followed inside of it."""
        name = _clean(name)
        for _ in range(_LINK_LIMIT):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def document(self, name: str) -> bytes | None:
        """The content of a small file."""
        member = self.find(name)
        if member is None:
            return None
        if member.size_bytes > DOCUMENT_LIMIT:
            raise ImageRefused(f"{name} of the archive is larger than {DOCUMENT_LIMIT >> 20} MiB")
        return files.read_bytes(member.path)

    def blob(self, digest: str) -> str | None:
        """The file of a blob of an OCI layout, if it has the digest that its name says."""
        member = self.find(_blob_name(digest))
        if member is None:
            return None
        if digest.startswith("sha256:") and member.digest != digest:
            raise ImageRefused(f"blob {digest} of the archive has the digest {member.digest}")
        return member.path


class DockerImage(NamedTuple):
    """An image of docker's archive format: its documents, the files of its layers, and its names."""

    config: bytes
    manifest: bytes
    layers: tuple[str, ...]
    names: tuple[str, ...]


def docker_images(spool: Spool) -> tuple[DockerImage, ...]:
    """The images that manifest.json lists; their manifests are made here.

    Raises Unsupported for the format before manifest.json, ImageRefused for what is wrong.
    """
    text = spool.document("manifest.json")
    if text is None:
        if spool.find("repositories"):
            raise Unsupported("the archive is of docker before 1.10, which lists no layers")
        raise ImageRefused(
            "the archive has neither index.json nor manifest.json",
            hint="the files of a root file system become an image with `rootless import`",
        )
    try:
        listed = json.loads(text)
        return tuple(_docker_image(spool, each) for each in listed)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ImageRefused(f"manifest.json of the archive is damaged: {error}") from None


def _docker_image(spool: Spool, listed: Any) -> DockerImage:
    config = spool.document(str(listed["Config"]))
    if config is None:
        raise ImageRefused(f"the archive lacks the config {listed['Config']}")
    layers = []
    for name in listed["Layers"]:
        member = spool.find(str(name))
        if member is None:
            raise ImageRefused(f"the archive lacks the layer {name}")
        layers.append(member)
    count = len(parse_config(config, name="config of the archive")["rootfs"]["diff_ids"])
    if count != len(layers):
        raise ImageRefused(f"the archive has {len(layers)} layers where the config has {count}")
    return DockerImage(
        config=config,
        manifest=_manifest(config, layers),
        layers=tuple(each.path for each in layers),
        names=tuple(map(str, listed.get("RepoTags") or ())),
    )


def _manifest(config: bytes, layers: list[Member]) -> bytes:
    from rootless.image.convert import layer_type

    found = [(each, compression_of(each.path)) for each in layers]
    form = "oci" if any(compression == "zstd" for _, compression in found) else "docker"
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": DOCKER_CONFIG,
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": layer_type(compression, "docker" if form == "docker" else "oci"),
                "digest": each.digest,
                "size": each.size_bytes,
            }
            for each, compression in found
        ],
    }
    if form == "oci":
        from rootless.image.documents import OCI_CONFIG, OCI_MANIFEST

        manifest["mediaType"] = OCI_MANIFEST
        manifest["config"] = {**manifest["config"], "mediaType": OCI_CONFIG}  # type: ignore[dict-item]
    return to_json(manifest)


def compression_of(path: str) -> str:
    """How a layer is compressed.  Raises Unsupported for what layers are not packed with."""
    with open(path, "rb", buffering=0) as file:
        found = magic.compression_in(file.read(magic.LENGTH) or b"")
    if found not in ("gzip", "zstd", "none"):
        raise Unsupported(f"a layer of the archive is compressed with {found}")
    return found


def names_of(descriptor: Descriptor) -> tuple[str, ...]:
    """The names that an entry of index.json gives, full ones before tags."""
    annotations = descriptor.get("annotations") or {}
    found = [annotations.get(key, "") for key in (CONTAINERD_NAME, REF_NAME)]
    return tuple(each for each in dict.fromkeys(found) if each)


def is_layout(spool: Spool) -> bool:
    """Whether the archive is an OCI layout, perhaps docker's format as well."""
    return spool.find("index.json") is not None and spool.find("oci-layout") is not None


def _clean(name: str) -> str:
    """A name as a key: it is never used as a path of the host."""
    return posixpath.normpath("/" + name).lstrip("/")
