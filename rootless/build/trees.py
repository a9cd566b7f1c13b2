"""The trees that steps read: contexts of the caller, images, stages that are built already."""

from __future__ import annotations

import os

from rootless.errors import NotFound
from rootless.rootfs import Rootfs
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.context import Context
    from rootless.build.selection import View
    from rootless.build.steps import Tree
    from rootless.build.workshop import Workshop
    from rootless.image.digest import ChainID
    from rootless.userns.idmap import IdMap


class Trees:
    """Finds and opens them; ``built`` are the stages that are finished, by number."""

    def __init__(self, workshop: Workshop, built: Mapping[str, tuple[ChainID, ...]]):
        self._workshop = workshop
        self._built = built
        self._count = 0

    @property
    def id_map(self) -> IdMap:
        return self._workshop.id_map

    @property
    def stacks(self) -> bool:
        """Whether parts of layers can be stacked by the kernel as they lie."""
        return self._workshop.driver.name == "overlay"

    def context(self, tree: Tree) -> Context | None:
        """The directory behind a tree, None when it is made of layers."""
        return self._workshop.contexts.get(tree)

    def identity(self, tree: Tree) -> str:
        """The chain ID of a tree of layers: what it holds, without reading it.  "" for a context."""
        if tree.kind in ("context", "named", "scratch"):
            return ""
        chain = self.chain(tree)
        return chain[-1] if chain else "empty"

    def chain(self, tree: Tree) -> tuple[ChainID, ...]:
        """The layers of an image or a stage."""
        if tree.kind == "stage":
            return self._built[tree.name]
        if tree.kind == "scratch":
            return ()
        return self._workshop.chains[tree]

    def rootfs(self, tree: Tree) -> Rootfs:
        """A tree of layers to look at; makes a directory for its mount (HOST SIDE)."""
        self._count += 1
        bundle = f"{self._workshop.scratch}/tree-{os.getpid()}-{self._count}"
        os.makedirs(f"{bundle}/rootfs", mode=0o700)
        return read_only(self._workshop.driver.rootfs(self.chain(tree), bundle))

    def opener(self, tree: Tree) -> Callable[[], View]:
        """What opens a tree later, inside the namespaces: ask before entering them."""
        context = self.context(tree)
        if context is not None:
            return context.view
        if tree.kind in ("context", "named"):
            raise NotFound("this build has no build context", hint="give a directory instead of -")
        from rootless.build.selection import View
        from rootless.runtime.mounted import mount_rootfs

        rootfs = self.rootfs(tree)
        place = f"{self._workshop.scratch}/tree-{os.getpid()}-{self._count}/rootfs"
        return lambda: View(mount_rootfs(rootfs, place), str(tree))


def read_only(rootfs: Rootfs) -> Rootfs:
    """The same files without a place to write."""
    if rootfs.driver == "vfs":
        return rootfs
    if len(rootfs.lower) == 1:
        return Rootfs("vfs", rootfs.lower)  # overlayfs without an upper directory wants two layers
    options = tuple(each for each in rootfs.options if each != "volatile")
    return rootfs._replace(upper=None, work=None, options=options)
