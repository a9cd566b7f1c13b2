"""The Dockerfiles of ``tests/support/dockerfiles``, whose README says what each is for."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = os.path.join(os.path.dirname(__file__), "dockerfiles")
_METADATA = "case.json"
_COMPRESSION = {".gz": "gz", ".bin": "gz", ".bz2": "bz2", ".xz": "xz", ".tar": ""}


class Case(NamedTuple):
    """One Dockerfile with its context; the README of the corpus explains the fields."""

    name: str
    file: str = "Dockerfile"
    options: tuple[str, ...] = ()
    base: str = "busybox"
    needs: tuple[str, ...] = ()
    archives: Mapping[str, str] = {}
    config: Mapping[str, Any] = {}
    buildah: str | None = ""
    differs: Mapping[str, str] = {}
    ignore: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """Where it lies in the source; build it from where ``lay_out`` puts it."""
        return os.path.join(DIRECTORY, self.name)

    @property
    def text(self) -> str:
        """The Dockerfile."""
        with open(os.path.join(self.directory, self.file), encoding="utf-8", newline="") as file:
            return file.read()

    def build_options(self, directory: str) -> list[str]:
        """What a build of the context in ``directory`` is called with."""
        return [option.replace("{directory}", directory) for option in self.options]


def cases() -> list[Case]:
    """All of them, by name."""
    return [_case(name) for name in sorted(os.listdir(DIRECTORY)) if name != "README.md"]


def _case(name: str) -> Case:
    path = os.path.join(DIRECTORY, name, _METADATA)
    if not os.path.exists(path):
        return Case(name)
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    tuples = {key: tuple(value) for key, value in document.items() if isinstance(value, list)}
    return Case(name, **{**document, **tuples})


def lay_out(case: Case, target: str) -> str:
    """Copy the context to ``target`` and make its archives; the answer is ``target``."""
    kept = {_METADATA, *case.archives.values()}
    shutil.copytree(
        case.directory,
        target,
        symlinks=True,
        ignore=lambda directory, names: kept if directory == case.directory else set(),
    )
    for name, source in case.archives.items():
        with open(os.path.join(target, name), "wb") as file:
            file.write(_archive(os.path.join(case.directory, source), os.path.splitext(name)[1]))
    return target


def _archive(directory: str, extension: str) -> bytes:
    """The files of a directory as a tar archive that is always the same."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{_COMPRESSION[extension]}") as archive:
        for name in sorted(os.listdir(directory)):
            archive.add(os.path.join(directory, name), name, filter=_plain)
    return buffer.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
