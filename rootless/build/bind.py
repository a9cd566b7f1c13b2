"""``RUN --mount=type=bind``: a part of a tree, shown where a RUN wants it; nothing it writes is kept.

What is one directory is bound, layers are stacked by overlayfs, and everything else is copied first: where
an ignore file takes files away, and with drivers that cannot stack in place.
"""

from __future__ import annotations

import os

from rootless.build.copy import place_entry
from rootless.build.overlays import merged_directories, top_file
from rootless.build.patterns import escaped
from rootless.build.placement import Placement, joined
from rootless.build.selection import Item, View, select, walk
from rootless.errors import NotFound
from rootless.runtime.options import Mount
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.steps import RunMount
    from rootless.build.trees import Trees
    from rootless.userns.idmap import IdMap

_SAFE = ("nosuid", "nodev")


class Bind(NamedTuple):
    """A bind mount before its source is known; ``place`` is a path of ours that may be made.

    ``directory`` is where the tree lies when that is one directory, ``layers`` when it is stacked.
    """

    target: str
    source: str
    read_only: bool
    open_view: Callable[[], View]
    place: str
    id_map: IdMap
    directory: str = ""
    layers: tuple[str, ...] = ()

    def resolve(self) -> tuple[str, tuple[str, ...]]:
        """INSIDE the user namespace: how to mount it, and what."""
        view = self.open_view()
        try:
            item = _one(view, self.source)
            if self.directory and self.read_only and not _loses(view, item):
                return "bind", (joined(self.directory, item.path),)
            if self.layers and (item.is_directory or self.read_only):
                return self._stacked(item)
            self._copy(view, item, self.place)
            return "bind", (self.place,)
        finally:
            os.close(view.root)

    def _stacked(self, item: Item) -> tuple[str, tuple[str, ...]]:
        if not item.is_directory:
            found = top_file(self.layers, item.path)
            if found is None:
                raise NotFound(f"{self.source} is in no layer")
            return "bind", (found,)
        directories = merged_directories(self.layers, item.path)
        if self.read_only and len(directories) == 1:
            return "bind", directories
        if not self.read_only:
            os.makedirs(f"{self.place}/upper")
            os.makedirs(f"{self.place}/work")
        return "overlay", directories

    def mount(self, answer: tuple[str, tuple[str, ...]]) -> Mount:
        """HOST SIDE: the mount, from what ``resolve`` said."""
        kind, sources = answer
        access = ("ro",) if self.read_only else ()
        if kind == "bind":
            # What lies in a layer is shared with everybody; only our own copy may be written.
            own = sources[0] == self.place
            return Mount(
                "bind", sources[0], self.target, ("bind", *(access if own else ("ro",)), *_SAFE)
            )
        options = [f"lowerdir={source}" for source in sources]
        if not self.read_only:
            options += [f"upperdir={self.place}/upper", f"workdir={self.place}/work"]
        return Mount("overlay", "overlay", self.target, (*access, *_SAFE, *options))

    def copy_to(self, path: str) -> None:
        """INSIDE the user namespace: a copy of a directory at ``path``, for a cache to start with."""
        view = self.open_view()
        try:
            self._copy(view, _one(view, self.source), path)
        finally:
            os.close(view.root)

    def _copy(self, view: View, item: Item, path: str) -> None:
        if item.is_directory:
            os.mkdir(path, 0o755)
        top, _, name = path.rpartition("/")
        root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            placement = Placement(root, owners=Owners(self.id_map))
            for entry in walk(view, item):
                place_entry(placement, view, entry, joined(name, entry.path))
            placement.finish()
        finally:
            os.close(root)


def bind_of(mount: RunMount, trees: Trees, bundle: str, place: str) -> Bind:
    """HOST SIDE: the bind mount that a RUN asks for, or that its cache starts with."""
    context = trees.context(mount.tree)
    layers: tuple[str, ...] = ()
    if context is None and mount.tree.kind not in ("context", "named"):
        rootfs = trees.rootfs(mount.tree)
        layers = rootfs.lower if trees.stacks else ()
    return Bind(
        target=mount.target,
        source=mount.source,
        read_only=mount.read_only,
        open_view=trees.opener(mount.tree),
        place=place,
        id_map=trees.id_map,
        directory=(context.directory or "") if context is not None else "",
        layers=layers,
    )


def _one(view: View, source: str) -> Item:
    return select(view, escaped(source))[0]  # a path, not a pattern


def _loses(view: View, item: Item) -> bool:
    """Whether an ignore file takes something away from the item."""
    if view.ignore is None:
        return False
    everything = view._replace(ignore=None)
    return sum(1 for _ in walk(view, item)) != sum(1 for _ in walk(everything, item))
