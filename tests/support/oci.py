"""OCI images written byte by byte: every field can be made wrong on purpose.

``Layout`` is an OCI image layout on disk; skopeo, umoci and podman read it.  Layer archives come
from ``tar_of`` (a tuple of entries) and are as deterministic as their input.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from typing import NamedTuple

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
REF_NAME = "org.opencontainers.image.ref.name"

Document = dict[str, object]


class Entry(NamedTuple):
    """One member of a layer archive; ``link`` is a target, ``kind`` a tarfile type."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()


def directory(name: str, mode: int = 0o755, **fields: object) -> Entry:
    return Entry(name, mode=mode, kind=tarfile.DIRTYPE)._replace(**fields)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, link=target)


def whiteout(name: str) -> Entry:
    """What makes ``name`` of a lower layer disappear."""
    parent, _, last = name.rpartition("/")
    return Entry(f"{parent}/.wh.{last}" if parent else f".wh.{last}")


def tar_of(*entries: Entry) -> bytes:
    """A layer archive, uncompressed, with pax headers where they are needed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.size = len(entry.content)
            member.mode = entry.mode
            member.type = entry.kind
            member.linkname = entry.link
            member.uid, member.gid = entry.uid, entry.gid
            member.mtime = entry.mtime
            member.devmajor, member.devminor = entry.device
            member.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs}
            archive.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encode(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def compress(content: bytes, compression: str) -> bytes:
    """``none``, ``gzip``, or ``zstd`` where the zstandard package is installed."""
    if compression == "gzip":
        return gzip.compress(content, mtime=0)
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(content)
    return content


class Layout:
    """An OCI image layout at ``path``."""

    def __init__(self, path: str):
        self.path = path
        os.makedirs(f"{path}/blobs/sha256", exist_ok=True)
        self._write("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
        if not os.path.exists(f"{path}/index.json"):
            self._write("index.json", encode({"schemaVersion": 2, "manifests": []}))

    def _write(self, name: str, content: bytes) -> None:
        with open(f"{self.path}/{name}", "wb") as file:
            file.write(content)

    def blob(self, content: bytes, media_type: str) -> Document:
        """Store a blob; its descriptor."""
        digest = digest_of(content)
        self._write(f"blobs/{digest.replace(':', '/')}", content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def read(self, descriptor: Document) -> Document:
        """The JSON document that a descriptor names."""
        name = str(descriptor["digest"]).replace(":", "/")
        with open(f"{self.path}/blobs/{name}", "rb") as file:
            document: Document = json.load(file)
        return document

    def image(
        self,
        *layers: bytes,
        config: Document | None = None,
        compression: str = "gzip",
        architecture: str = "amd64",
        docker: bool = False,
        changes: Document | None = None,
        manifest_changes: Document | None = None,
    ) -> Document:
        """Store an image of these layer archives; the descriptor of its manifest.

        ``config`` is the part that containers inherit (Cmd, Env ...).  ``changes`` replaces fields of
        the image configuration and ``manifest_changes`` of the manifest, right or wrong.
        """
        document: Document = {
            "architecture": architecture,
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created_by": f"layer {number}"} for number, _ in enumerate(layers)],
            **(changes or {}),
        }
        suffix = "" if compression == "none" else f"+{compression}"
        if docker:
            suffix = suffix.replace("+gzip", ".gzip")
        base = DOCKER_LAYER if docker else LAYER
        descriptors = [self.blob(compress(layer, compression), base + suffix) for layer in layers]
        manifest_type = DOCKER_MANIFEST if docker else MANIFEST
        manifest: Document = {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": self.blob(encode(document), DOCKER_CONFIG if docker else CONFIG),
            "layers": descriptors,
            **(manifest_changes or {}),
        }
        platform = {"architecture": architecture, "os": "linux"}
        return {**self.blob(encode(manifest), manifest_type), "platform": platform}

    def index(self, *descriptors: Document) -> Document:
        """Store an image index of several platforms; its descriptor."""
        document: Document = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": list(descriptors),
        }
        return self.blob(encode(document), INDEX)

    def tag(self, name: str, descriptor: Document) -> None:
        """Add an image to index.json under a name."""
        with open(f"{self.path}/index.json", "rb") as file:
            document = json.load(file)
        document["manifests"].append({**descriptor, "annotations": {REF_NAME: name}})
        self._write("index.json", encode(document))


def host_architecture() -> str:
    """This machine in the words of OCI (Go's GOARCH)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)
