"""Do one step that is not in the cache: HOST SIDE, with children inside the user namespace."""

from __future__ import annotations

import os
import time

from rootless.build import mounts, stubs
from rootless.build.cache import Record
from rootless.build.copy import CopyJob, FromContent, FromFile, FromTree, Origin, perform
from rootless.build.keys import stands_alone
from rootless.build.placement import Placement
from rootless.build.steps import Download, GitCheckout, InlineContent, TreeFiles
from rootless.build.stored import unpack
from rootless.build.workshop import Place
from rootless.errors import BuildFailed
from rootless.image.digest import chain_id
from rootless.image.times import rfc3339
from rootless.runtime.mounted import mount_rootfs
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.inputs import Inputs
    from rootless.build.steps import CopyStep, RunStep, Source, WorkdirStep
    from rootless.build.trees import Trees
    from rootless.build.workshop import Workshop
    from rootless.image.digest import ChainID
    from rootless.rootfs import Rootfs


class Work:
    """One step on a chain of layers, in a directory of its own."""

    def __init__(
        self,
        workshop: Workshop,
        trees: Trees,
        inputs: Inputs,
        *,
        chain: tuple[ChainID, ...],
        bundle: str,
        stdio: tuple[int, int, int],
    ):
        self._workshop = workshop
        self._trees = trees
        self._inputs = inputs
        self._chain = chain
        self._bundle = bundle
        self._stdio = stdio
        self.notices: list[str] = []

    @property
    def _parent(self) -> ChainID | None:
        return self._chain[-1] if self._chain else None

    def run(self, step: RunStep) -> Record:
        """RUN.  Raises BuildFailed with the program's exit code."""
        workshop = self._workshop
        shell = workshop.settings.on_error == "shell"
        # A volatile overlay cannot be mounted again, which a shell after a failure needs.
        rootfs = workshop.driver.rootfs(self._chain, self._bundle, volatile=not shell)
        with mounts.prepare(
            step, rootfs, workshop=workshop, trees=self._trees, bundle=self._bundle
        ) as prepared:
            place = Place(rootfs, prepared.mounts, prepared.env, self._bundle)
            owner = workshop.launcher.emulated_owner(step, place)
            code = workshop.launcher.run(step, place, self._stdio)
            if code and shell:
                workshop.launcher.shell(step, place)
        if code:
            raise BuildFailed(
                f"{step.title}: exit code {code}",
                hint="--on-error=shell opens a shell where it failed",
                exit_code=1,
            )
        stubs.remove(rootfs, prepared.stubs.made, workshop.id_map)
        return self._commit(rootfs, skip=prepared.stubs.targets, owner=owner)

    def copy(self, step: CopyStep) -> Record:
        """COPY or ADD."""
        alone = stands_alone(step)
        rootfs = self._workshop.driver.rootfs(() if alone else self._chain, self._bundle)
        job = CopyJob(
            origins=tuple(self._origin(step, source) for source in step.sources),
            target=step.target,
            chown=step.chown,
            chmod=step.chmod,
            parents=step.parents,
            excludes=step.excludes,
            mtime=self._workshop.settings.timestamp,
        )
        id_map = self._workshop.id_map
        self._inside(rootfs, lambda root: perform(job, root, id_map))
        # Without an overlay, what is not in the copy would look like removed from the parent.
        return self._commit(rootfs, on_parent=not alone or rootfs.upper is not None)

    def make_directory(self, step: WorkdirStep) -> Record:
        """WORKDIR."""
        rootfs = self._workshop.driver.rootfs(self._chain, self._bundle)
        settings = self._workshop.settings
        owners = Owners(self._workshop.id_map)

        def work(root: int) -> list[str]:
            lookup = Placement(root, owners=owners)
            owner = lookup.find_owner(step.user) if step.user else None
            placement = Placement(root, owners=owners, owner=owner, mtime=settings.timestamp)
            placement.make_directories(placement.resolve(step.path))
            placement.finish()
            return placement.notices

        self._inside(rootfs, work)
        return self._commit(rootfs)

    def _origin(self, step: CopyStep, source: Source) -> Origin:
        match source:
            case TreeFiles():
                return FromTree(self._trees.opener(source.tree), source.patterns, source.unpack)
            case InlineContent(path=path, content=content):
                return FromContent(path.rpartition("/")[2], content.encode())
            case Download():
                fetched = self._inputs.fetched(source)
                return FromFile(fetched.path, source.name, fetched.mtime, source.unpack)
            case GitCheckout():
                return FromTree(self._inputs.checkout(source).view, ("/",))

    def _inside(self, rootfs: Rootfs, function: Callable[[int], list[str]]) -> None:
        """Work on the mounted root filesystem; the function returns what a person should know."""
        place = f"{self._bundle}/rootfs"
        os.makedirs(place, mode=0o755, exist_ok=True)

        def work() -> list[str]:
            os.umask(0)
            return function(mount_rootfs(rootfs, place))

        self.notices += enter.call(work, self._workshop.id_map, mount_namespace=True)

    def _commit(
        self,
        rootfs: Rootfs,
        *,
        skip: tuple[str, ...] = (),
        on_parent: bool = True,
        owner: tuple[int, int] | None = None,
    ) -> Record:
        workshop = self._workshop
        made = workshop.layers.commit(
            rootfs,
            bundle=self._bundle,
            parent=self._parent if on_parent else None,
            output=f"{self._bundle}/layer",
            compression=workshop.settings.compression,
            timestamp=workshop.settings.timestamp,
            skip=skip,
            owner=owner,
        )
        workshop.layout.put_blob(made.path, made.digest)
        timestamp = workshop.settings.timestamp
        created = rfc3339(time.time() if timestamp is None else timestamp)
        record = Record(made.diff_id, made.digest, made.size_bytes, made.media_type, created)
        if made.chain_id != chain_id(self._parent, made.diff_id):
            unpack(workshop, record, self._parent)
        return record
