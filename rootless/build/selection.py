"""Which files of a tree a COPY, ADD or bind mount takes, walked by descriptors.

Runs in the caller's process for the build context, and inside the user namespace for stages and
images.  A tree is seen through ``View``; nothing outside its root can be reached, whatever links it holds.
"""

from __future__ import annotations

import os
import posixpath
from stat import S_IFMT, S_IMODE, S_ISDIR, S_ISLNK

from rootless.build.patterns import component_matcher, has_wildcards, unescaped
from rootless.dockerfile.ignore import Ignore
from rootless.errors import BuildFailed, NotFound
from rootless.kernel.mount import open_in_root
from rootless.kernel.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from rootless.owners import true_stat
from rootless.storage.attributes import read_xattrs
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


class View(NamedTuple):
    """A tree as a build sees it.

    ``root`` is a descriptor of its root directory.  What ``ignore`` excludes is not there.  With
    ``anonymous`` every file belongs to root, as in a build context.  ``name`` is for messages.
    """

    root: int
    name: str
    ignore: Ignore | None = None
    anonymous: bool = False

    def hides(self, path: str) -> bool:
        """Whether the ignore file takes ``path`` out of the tree."""
        return self.ignore is not None and bool(path) and self.ignore.excludes(path)

    def prunes(self, path: str) -> bool:
        """Whether nothing below the directory ``path`` is in the tree either."""
        return self.ignore is not None and bool(path) and self.ignore.prunes(path)


class Item(NamedTuple):
    """One thing that a pattern stands for.

    ``path`` is relative to the root and free of links; ``name`` is what a target directory calls it.
    ``include`` restricts a directory to what matches, with the parents of that (``--parents``).
    """

    path: str
    name: str
    is_directory: bool
    include: tuple[str, ...] = ()


class Owner(NamedTuple):
    """Ids inside the user namespace."""

    uid: int
    gid: int


ROOT = Owner(0, 0)


class Description(NamedTuple):
    """A file as an image means it, which an id map may not have let it be on disk.

    ``mode`` has the type bits too.  ``identity`` is what hard links to it share, None without others.
    """

    mode: int
    owner: Owner
    mtime_ns: int
    attributes: tuple[tuple[bytes, bytes], ...] = ()
    identity: tuple[int, int] | None = None
    device: int = 0


class Entry(NamedTuple):
    """A file, directory or link met on a walk; ``parent`` is open while the entry is looked at.

    ``path`` is relative to the item, "" for the item itself.
    """

    path: str
    name: str
    parent: int
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return S_ISDIR(self.status.st_mode)

    @property
    def link(self) -> str:
        """What a symbolic link says; empty for everything else."""
        if not S_ISLNK(self.status.st_mode):
            return ""
        return os.readlink(self.name, dir_fd=self.parent)

    def open(self) -> int:
        """A descriptor of a file or directory.  Raises BuildFailed when it may not be read."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(self.name, flags, dir_fd=self.parent)
        except PermissionError:
            raise BuildFailed(f"cannot read {self.path or self.name}: permission denied") from None


def describe(view: View, entry: Entry, fd: int | None = None) -> Description:
    """What an entry is; ``fd`` is open when it is a file or a directory."""
    status = entry.status
    shared = status.st_nlink > 1 and not entry.is_directory
    made = Description(
        mode=status.st_mode,
        owner=ROOT if view.anonymous else Owner(status.st_uid, status.st_gid),
        mtime_ns=status.st_mtime_ns,
        identity=(status.st_dev, status.st_ino) if shared else None,
        device=status.st_rdev,
    )
    if fd is None:
        return made
    recorded, xattrs, _ = read_xattrs(fd)
    attributes = tuple((os.fsencode(name), value) for name, value in sorted(xattrs.items()))
    if view.anonymous:
        # The host's own labels and capabilities say nothing inside.
        kept = tuple(each for each in attributes if each[0].startswith(b"user."))
        return made._replace(attributes=kept)
    stat = true_stat(status.st_uid, status.st_gid, S_IMODE(status.st_mode), recorded)
    return made._replace(
        mode=S_IFMT(status.st_mode) | stat.mode,
        owner=Owner(stat.uid, stat.gid),
        attributes=attributes,
    )


def select(view: View, pattern: str, *, parents: bool = False) -> list[Item]:
    """What ``pattern`` stands for.  Raises NotFound when a pattern without wildcards names nothing."""
    if parents:
        return _with_parents(view, pattern)
    path = posixpath.normpath("/" + pattern).lstrip("/")
    if not has_wildcards(path):
        return [_literal(view, unescaped(path), pattern)]
    head = []
    tail = path.split("/")
    while not has_wildcards(tail[0]):
        head.append(tail.pop(0))
    try:
        start = _canonical(view, unescaped("/".join(head)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = _expand(view, start, tail)
    return [_literal(view, path, pattern) for path in sorted(matches)]


def _with_parents(view: View, pattern: str) -> list[Item]:
    """``a/./b/*.c``: below ``a`` everything that matches, under its path from there."""
    pivot, found, rest = pattern.partition("/./")
    if not found:
        pivot, rest = "", pattern
    rest = posixpath.normpath("/" + rest).lstrip("/")
    if not has_wildcards(pivot + rest):
        _literal(view, posixpath.join(pivot.strip("/"), unescaped(rest)), pattern)
    include = (rest,) if rest else ()
    roots = select(view, pivot or "/")
    return [root._replace(include=include) for root in roots if root.is_directory]


def _literal(view: View, path: str, pattern: str) -> Item:
    try:
        real = _canonical(view, path)
        status = os.stat(f"/proc/self/fd/{view.root}/{real}") if real else os.fstat(view.root)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{pattern} is not in the {view.name}") from None
    is_directory = S_ISDIR(status.st_mode)
    # A directory that is ignored may hold files that are not.
    hidden = [each for each in {path, real} if view.hides(each)]
    if hidden and (not is_directory or view.prunes(real)):
        raise NotFound(
            f"{pattern} is not in the {view.name}", hint=f"the ignore file excludes {hidden[0]}"
        )
    return Item(real, posixpath.basename(path), is_directory)


def _canonical(view: View, path: str) -> str:
    """The path without links, relative to the root.  Raises FileNotFoundError."""
    if not path:
        return ""
    fd = open_in_root(view.root, path, os.O_PATH, resolve=_INSIDE)
    try:
        real = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return real.removeprefix(os.readlink(f"/proc/self/fd/{view.root}")).lstrip("/")


def _expand(view: View, directory: str, components: list[str]) -> list[str]:
    """The paths below ``directory`` that the components of a pattern stand for."""
    matcher = component_matcher(components[0])
    found = []
    for name in _names(view.root, directory):
        path = posixpath.join(directory, name)
        if not matcher.fullmatch(name):
            continue
        if len(components) > 1:
            found += _expand(view, path, components[1:])
        elif not view.hides(path):
            found.append(path)
    return found


def _names(root: int, directory: str) -> list[str]:
    try:
        fd = os.open(directory or ".", _DIRECTORY, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError, OSError):
        return []
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def walk(view: View, item: Item, excludes: tuple[str, ...] = ()) -> Iterator[Entry]:
    """The item and everything below it that is taken, parents first, names in order."""
    parent, _, name = item.path.rpartition("/")
    fd = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=view.root)
    try:
        walker = _Walker(view, item, excludes)
        status = os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
        yield from walker.visit(Entry("", name or ".", fd, status))
    finally:
        os.close(fd)


class _Walker:
    """One walk; ``_pending`` are directories that are only taken if something below them is."""

    def __init__(self, view: View, item: Item, excludes: tuple[str, ...]):
        self._view = view
        self._item = item
        self._include = Ignore(item.include) if item.include else None
        self._exclude = Ignore(excludes) if excludes else None
        self._pending: list[Entry] = []

    def visit(self, entry: Entry) -> Iterator[Entry]:
        taken = self._takes(entry)
        if not entry.is_directory:
            if taken:
                yield from self._release()
                yield entry
            return
        if not taken and not self._may_hold(entry):
            return
        if taken:
            yield from self._release()
            yield entry
        else:
            self._pending.append(entry)
        fd = os.open(entry.name, _DIRECTORY, dir_fd=entry.parent)
        try:
            for name in sorted(os.listdir(fd)):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                path = f"{entry.path}/{name}" if entry.path else name
                yield from self.visit(Entry(path, name, fd, status))
        finally:
            os.close(fd)
        if self._pending and self._pending[-1] == entry:
            self._pending.pop()

    def _release(self) -> Iterator[Entry]:
        waiting, self._pending = self._pending, []
        yield from waiting

    def _takes(self, entry: Entry) -> bool:
        full = posixpath.join(self._item.path, entry.path) if entry.path else self._item.path
        if self._view.hides(full):
            return False
        # A file that was named itself is excluded by its name, what lies in a directory by its path there.
        inner = entry.path or ("" if entry.is_directory else self._item.name)
        if self._exclude is not None and inner and self._exclude.excludes(inner):
            return False
        return self._include is None or (bool(inner) and self._include.excludes(inner)) or not inner

    def _may_hold(self, entry: Entry) -> bool:
        """Whether something below a directory that is not taken may be."""
        if self._include is not None:
            return True
        full = posixpath.join(self._item.path, entry.path)
        excluded = self._exclude is not None and self._exclude.prunes(entry.path)
        return not excluded and not self._view.prunes(full)
