"""The tree and the configuration that an image's documents describe, read without the code under test."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from typing import Any, NamedTuple

CONFIG = (
    *("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Labels", "ExposedPorts", "Volumes"),
    *("Healthcheck", "Shell", "StopSignal", "OnBuild"),
)
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}


class File(NamedTuple):
    """What must be the same wherever an image is built; times are not among it."""

    kind: str
    mode: str
    uid: int
    gid: int
    size: int
    content: str
    attributes: tuple[tuple[str, str], ...]
    links: tuple[str, ...] = ()  # the other names of the same file


class Built(NamedTuple):
    """An image as anybody may read it."""

    tree: dict[str, File]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    document: dict[str, Any]


def read(manifest: dict[str, Any], blobs: str) -> Built:
    """The image of a manifest; ``blobs`` is the directory with its blobs, by hexadecimal digest."""

    def content(descriptor: dict[str, Any]) -> bytes:
        with open(os.path.join(blobs, descriptor["digest"].partition(":")[2]), "rb") as file:
            found = file.read()
        assert len(found) == descriptor["size"]
        return found

    document = json.loads(content(manifest["config"]))
    tree: dict[str, tuple[File, int]] = {}
    for number, layer in enumerate(manifest["layers"]):
        apply(tree, content(layer), number)
    config = {
        name: value
        for name, value in document.get("config", {}).items()
        if name in CONFIG and value
    }
    return Built(_with_links(tree), config, document.get("history", []), document)


def apply(tree: dict[str, tuple[File, int]], layer: bytes, number: int) -> None:
    """Put a layer on top; the number beside a file tells which names are one file."""
    with tarfile.open(fileobj=io.BytesIO(_plain(layer))) as archive:
        for place, member in enumerate(archive.getmembers()):
            path = os.path.normpath("/" + member.name).lstrip("/")
            directory, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove_below(tree, directory)
            elif name.startswith(".wh."):
                victim = f"{directory}/{name[4:]}".lstrip("/")
                tree.pop(victim, None)
                _remove_below(tree, victim)
            elif member.islnk():
                tree[path] = tree[os.path.normpath("/" + member.linkname).lstrip("/")]
            elif path:
                _put(tree, path, _file(archive, member), number << 32 | place)


def _put(tree: dict[str, tuple[File, int]], path: str, file: File, identity: int) -> None:
    if file.kind != "directory":
        _remove_below(tree, path)
    tree[path] = file, identity


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo) -> File:
    kind = _KINDS[member.type]
    content = member.linkname
    if kind == "file":
        opened = archive.extractfile(member)
        assert opened is not None
        content = hashlib.sha256(opened.read()).hexdigest()
    attributes = tuple(
        sorted(
            (name.removeprefix("SCHILY.xattr."), value)
            for name, value in member.pax_headers.items()
            if name.startswith("SCHILY.xattr.")
        )
    )
    # The mode of a symbolic link means nothing on Linux.
    mode = "" if kind == "link" else oct(member.mode & 0o7777)
    size = member.size if kind == "file" else 0
    return File(kind, mode, member.uid, member.gid, size, content, attributes)


def _remove_below(tree: dict[str, tuple[File, int]], directory: str) -> None:
    prefix = f"{directory}/" if directory else ""
    for path in [each for each in tree if each.startswith(prefix)]:
        del tree[path]


def _with_links(tree: dict[str, tuple[File, int]]) -> dict[str, File]:
    names: dict[int, list[str]] = {}
    for path, (_, identity) in tree.items():
        names.setdefault(identity, []).append(path)
    return {
        path: file._replace(links=tuple(sorted(set(names[identity]) - {path})))
        for path, (file, identity) in sorted(tree.items())
    }


def _plain(layer: bytes) -> bytes:
    if layer.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.decompress(layer)
    if layer.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(layer)).read()
    return layer


def differences(ours: dict[str, Any], theirs: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """What differs between two dictionaries, a line each."""
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            lines.append(f"{key}: {names[0]} {ours.get(key)}, {names[1]} {theirs.get(key)}")
    return lines
