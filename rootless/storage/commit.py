"""Makes a layer of what a container changed.  CHILD SIDE: all of it runs inside the user namespace."""

from __future__ import annotations

import os

from rootless import files
from rootless.image.digest import ChainID, DiffID, chain_id
from rootless.kernel.openat2 import open_in_root
from rootless.storage.changes import Skip, upper_changes
from rootless.storage.compression import compressor
from rootless.storage.layer_tar import UnpackRequest, unpack
from rootless.storage.pack import Packed, Packer
from rootless.storage.tree_changes import tree_changes
from rootless.storage.trees import allow_depth
from rootless.storage.vfs import copied_ns
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.rootfs import Rootfs
    from rootless.storage.changes import Change
    from rootless.storage.layer_store import LayerStore


class CommitRequest(NamedTuple):
    """What to make a layer of, and how (``layers.Layers.commit`` explains the fields)."""

    rootfs: Rootfs
    bundle: str
    parent: ChainID | None
    output: str
    compression: str
    timestamp: int | None
    skip: tuple[str, ...]
    consume: bool


def commit(store: LayerStore, request: CommitRequest) -> tuple[str, str, int, int, str]:
    """Write the blob and publish the layer: diff ID, digest, size, number of entries, chain ID."""
    allow_depth()
    skip = Skip(request.skip)
    # fuse-overlayfs leaves marks of its own in an upper directory, which the kernel's overlay shows.
    moves = request.consume and request.rootfs.driver == "overlay"
    fd = os.open(request.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        packer = Packer(
            fd,
            compressor(request.compression, reproducible=request.timestamp is not None),
            latest=request.timestamp,
            settle=moves,
        )
        packed = packer.pack(_changes(store, request, skip))
    finally:
        os.close(fd)
    chain = chain_id(request.parent, DiffID(packed.diff_id))
    if not store.has(chain):
        scratch, lock = store.open_scratch("commit")
        try:
            kept: dict[str, str] = {}
            if moves:
                _move_upper(request, skip, f"{scratch}/diff")
            else:
                kept = _unpack_again(store, request, packed, f"{scratch}/diff")
            store.publish(
                scratch,
                chain,
                parent=request.parent,
                diff_id=packed.diff_id,
                size_bytes=packed.content_bytes,
                kept=kept,
            )
        finally:
            files.remove_tree(scratch, missing_ok=True)
            os.close(lock)
    return packed.diff_id, packed.digest, packed.size_bytes, packed.entries, chain


def _changes(store: LayerStore, request: CommitRequest, skip: Skip) -> Iterator[Change]:
    below = store.stack(request.parent)
    rootfs = request.rootfs
    if rootfs.upper is not None:
        return upper_changes(rootfs.upper, below, skip)
    return tree_changes(rootfs.lower[0], below, copied_ns(request.bundle), skip)


def _move_upper(request: CommitRequest, skip: Skip, target: str) -> None:
    """The upper directory has the form of a layer but for what was only there to mount on."""
    upper = request.rootfs.upper
    assert upper is not None
    os.rename(upper, target)
    os.mkdir(upper, 0o755)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in skip.dropped:
            _remove_stub(root, path)
    finally:
        os.close(root)


def _remove_stub(root: int, path: bytes) -> None:
    parent, _, name = path.rpartition(b"/")
    directory = open_in_root(root, parent, flags=os.O_RDONLY | os.O_DIRECTORY)
    try:
        status = os.fstat(directory)
        files.remove_at(directory, name)
        os.utime(directory, ns=(status.st_mtime_ns, status.st_mtime_ns))
    finally:
        os.close(directory)


def _unpack_again(
    store: LayerStore, request: CommitRequest, packed: Packed, directory: str
) -> dict[str, str]:
    """The container goes on with its own files, or they have another form: make the layer anew."""
    os.mkdir(directory, 0o755)
    fd = os.open(request.output, os.O_RDONLY | os.O_CLOEXEC)
    try:
        again = UnpackRequest(
            fd, request.compression, packed.diff_id, store.form.whiteouts, store.id_map
        )
        return unpack(again, directory, lambda: store.stack(request.parent)).kept
    finally:
        os.close(fd)
