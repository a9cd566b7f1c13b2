"""COPY and ADD.  ``perform`` runs INSIDE the user namespace, in a mount namespace of its own."""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISLNK, S_ISREG

from rootless.build.permissions import parse_mode
from rootless.build.placement import Placement, joined
from rootless.build.selection import Item, View, describe, select, walk
from rootless.build.unpack import unpack_archive
from rootless.errors import BuildFailed
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.selection import Entry
    from rootless.userns.idmap import IdMap


class FromTree(NamedTuple):
    """Files of a tree, which is opened inside the namespaces."""

    open_view: Callable[[], View]
    patterns: tuple[str, ...]
    unpack: bool = False


class FromContent(NamedTuple):
    """A file whose bytes are known."""

    name: str
    content: bytes


class FromFile(NamedTuple):
    """A file that was downloaded to ``path``."""

    path: str
    name: str
    mtime: int | None = None
    unpack: bool = False


Origin: TypeAlias = FromTree | FromContent | FromFile
_DOWNLOAD_MODE = 0o600  # docker's
_CHUNK = 1 << 20


class CopyJob(NamedTuple):
    """Everything that one COPY or ADD does; ``target`` is absolute, with a slash for "a directory"."""

    origins: tuple[Origin, ...]
    target: str
    chown: str = ""
    chmod: str = ""
    parents: bool = False
    excludes: tuple[str, ...] = ()
    mtime: int | None = None


def perform(job: CopyJob, root: int, id_map: IdMap, owner_root: int | None = None) -> list[str]:
    """Do it in the root filesystem ``root``; returns notices.

    Names after --chown are looked up in ``owner_root`` where that is another root filesystem (--link).
    """
    owners = Owners(id_map)
    lookup = Placement(root if owner_root is None else owner_root, owners=owners)
    placement = Placement(
        root,
        owners=owners,
        owner=lookup.find_owner(job.chown) if job.chown else None,
        mode=parse_mode(job.chmod) if job.chmod else None,
        mtime=job.mtime,
    )
    copier = _Copier(job, placement)
    copier.check()
    for origin in job.origins:
        copier.copy(origin)
    placement.finish()
    return placement.notices


class _Copier:
    def __init__(self, job: CopyJob, placement: Placement):
        self._job = job
        self._placement = placement
        self._into_directory = job.target.endswith("/")

    def check(self) -> None:
        """Without a slash, several sources need a directory that is there: each would replace the last."""
        origins = self._job.origins
        count = sum(len(each.patterns) if isinstance(each, FromTree) else 1 for each in origins)
        if count < 2 or self._into_directory:
            return
        if not self._placement.is_directory(self._placement.resolve(self._job.target)):
            target = self._job.target
            raise BuildFailed(
                f"several sources need a directory, and {target} is none", hint=f"write {target}/"
            )

    def copy(self, origin: Origin) -> None:
        match origin:
            case FromContent(name=name, content=content):
                self._placement.content(self._place_of(name), (content,), 0o644, None)
            case FromFile():
                self._downloaded(origin)
            case FromTree():
                self._from_tree(origin)

    def _downloaded(self, origin: FromFile) -> None:
        if origin.unpack and self._unpack(origin.path):
            return
        times = None if origin.mtime is None else origin.mtime * 10**9
        with open(origin.path, "rb", buffering=0) as file:
            chunks = iter(lambda: file.read(_CHUNK), b"")
            self._placement.content(self._place_of(origin.name), chunks, _DOWNLOAD_MODE, times)

    def _from_tree(self, origin: FromTree) -> None:
        view = origin.open_view()
        try:
            for pattern in origin.patterns:
                items = select(view, pattern, parents=self._job.parents)
                if not items:
                    self._placement.notices.append(f"nothing in the {view.name} matches {pattern}")
                for item in items:
                    self._item(view, item, unpack=origin.unpack)
        finally:
            os.close(view.root)

    def _item(self, view: View, item: Item, *, unpack: bool) -> None:
        if unpack and not item.is_directory and self._unpack_item(view, item):
            return
        base = self._directory_of() if item.is_directory else self._place_of(item.name)
        self._placement.forget_links()
        for entry in walk(view, item, self._job.excludes):
            place_entry(self._placement, view, entry, joined(base, entry.path))

    def _directory_of(self) -> str:
        """Where the content of a directory goes: the target itself, which need not exist."""
        target = self._placement.resolve(self._job.target)
        self._placement.make_directories(target.rpartition("/")[0])
        if self._into_directory:
            self._placement.make_directories(target)
        return target

    def _place_of(self, name: str) -> str:
        """Where a file called ``name`` goes: into the target if that is a directory, else to it."""
        target = self._placement.resolve(self._job.target)
        if self._into_directory:
            self._placement.make_directories(target)
        if self._placement.is_directory(target):
            return joined(target, name)
        self._placement.make_directories(target.rpartition("/")[0])
        return target

    def _unpack_item(self, view: View, item: Item) -> bool:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(item.path, flags, dir_fd=view.root)
        try:
            if not S_ISREG(os.fstat(fd).st_mode):
                return False
            return self._unpack_fd(fd)
        finally:
            os.close(fd)

    def _unpack(self, path: str) -> bool:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._unpack_fd(fd)
        finally:
            os.close(fd)

    def _unpack_fd(self, fd: int) -> bool:
        return unpack_archive(fd, self._placement, self._job.target)


def place_entry(placement: Placement, view: View, entry: Entry, path: str) -> None:
    """Put one entry of a walk at ``path``."""
    mode = entry.status.st_mode
    if S_ISLNK(mode):
        placement.link(path, entry.link, describe(view, entry))
    elif S_ISDIR(mode) or S_ISREG(mode):
        fd = entry.open()
        try:
            if S_ISREG(mode):
                placement.file(path, fd, describe(view, entry, fd))
            elif path:  # the root directory itself is there, and stays what it is
                # A directory that was named only lends its content to a target that exists.
                placement.directory(path, describe(view, entry, fd), keep=not entry.path)
        finally:
            os.close(fd)
    else:
        placement.special(path, describe(view, entry))
