"""Unpacked layers: which there are, unpacking more, and making one of what a container changed.

HOST SIDE.  What touches files of subordinate ids is done by a child in the user namespace.
"""

from __future__ import annotations

import os

from rootless.errors import StoreFailed
from rootless.image.digest import ChainID, DiffID, Digest
from rootless.lean import contextmanager
from rootless.storage.layer_store import LayerStore
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.paths import Paths
    from rootless.rootfs import Rootfs
    from rootless.storage.commit import Made, Target
    from rootless.storage.driver import LayerForm
    from rootless.storage.unpacker import Unpacker
    from rootless.storage.verify import Suspect
    from rootless.userns.idmap import IdMap


class LayerTar(NamedTuple):
    """A layer as a blob: what ``commit`` wrote to ``path``.  ``entries`` is 0 when nothing changed."""

    diff_id: DiffID
    digest: Digest
    size_bytes: int
    media_type: str
    path: str
    chain_id: ChainID
    entries: int


class Layers:
    """The unpacked layers of one user in one form."""

    def __init__(self, paths: Paths, id_map: IdMap, form: LayerForm):
        self.form = form
        self._paths = paths
        self._id_map = id_map
        self._store = LayerStore(paths, id_map, form)

    def has(self, chain_id: str) -> bool:
        """Whether the layer is unpacked and whole; then its parents are there as well."""
        return self._store.has(chain_id)

    def path(self, chain_id: str) -> str:
        """The directory with the layer's files."""
        return f"{self._store.directory(chain_id)}/diff"

    @contextmanager
    def unpacker(self) -> Iterator[Unpacker]:
        """Start what unpacks layers.  Call it while the process has one thread; then submit from any.

        Leaving the block ends the work that is not done.
        """
        import socket

        from rootless.kernel.placement import spread_below
        from rootless.storage.unpacker import Foreman, Unpacker
        from rootless.userns import enter

        spread_below(self._paths.scratch)
        outer, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        at_once = min(max(os.cpu_count() or 1, 2), 8)

        def work() -> None:
            outer.close()
            Foreman(inner, self._store, at_once=at_once).run()

        unpacker = Unpacker(outer, enter.spawn(work, self._id_map))
        inner.close()
        try:
            yield unpacker
        finally:
            unpacker.close()

    def commit(
        self,
        rootfs: Rootfs,
        *,
        bundle: str,
        parent: ChainID | None,
        output: str,
        compression: str = "gzip",
        timestamp: int | None = None,
        skip: tuple[str, ...] = (),
        consume: bool = True,
        owner: tuple[int, int] | None = None,
    ) -> LayerTar:
        """Make a layer of the changes in a container: the blob at ``output`` and the unpacked layer.

        ``skip`` names mount targets inside: where only an empty file or directory was made to mount
        on, it is not part of the layer.  With ``consume`` the container is not used any more, so its
        upper directory becomes the layer by renaming.  ``timestamp`` is the latest time in seconds
        that a file may have; with it the blob's bytes do not depend on the machine.  New files belong
        to ``owner``, where ids are emulated and the program believed to be that.  The layer is not
        on the disk for good before ``sync``.
        """
        from rootless.storage import commit

        target = commit.Target(parent, output, compression, timestamp)
        request = commit.CommitRequest(rootfs, bundle, target, skip, consume, owner)
        return self._make(lambda: commit.commit(self._store, request), target)

    def squash(
        self,
        top: ChainID,
        *,
        parent: ChainID | None,
        output: str,
        compression: str = "gzip",
        timestamp: int | None = None,
    ) -> LayerTar:
        """Make one layer on ``parent`` that shows what all layers up to ``top`` show."""
        from rootless.storage import commit, squash

        target = commit.Target(parent, output, compression, timestamp)
        return self._make(lambda: squash.squash(self._store, top, target), target)

    def _make(self, work: Callable[[], Made], target: Target) -> LayerTar:
        from rootless.storage.compression import MEDIA_TYPES
        from rootless.userns import enter

        try:
            diff_id, digest, size_bytes, entries, chain = enter.call(work, self._id_map)
        except OSError as error:
            raise StoreFailed(f"cannot make the layer {target.output}: {error}") from None
        return LayerTar(
            diff_id=DiffID(diff_id),
            digest=Digest(digest),
            size_bytes=size_bytes,
            media_type=MEDIA_TYPES[target.compression],
            path=target.output,
            chain_id=ChainID(chain),
            entries=entries,
        )

    def differences(self, suspect: Suspect) -> list[str]:
        """In what an unpacked layer is not what its blob unpacks to; the layer is unpacked once more."""
        from rootless.storage import verify
        from rootless.userns import enter

        return enter.call(lambda: verify.differences(self._store, suspect), self._id_map)

    def sync(self) -> None:
        """Make committed layers survive a power cut; unpacked ones do already."""
        self._store.sync()

    def remove(self, path: str) -> None:
        """Remove a tree of ours in which files may belong to subordinate ids; a missing one is gone.

        It vanishes at once, by renaming, and is then removed; a crash leaves it in the trash.
        """
        from rootless.storage.removal import remove

        remove(self._paths, self._id_map, path)
