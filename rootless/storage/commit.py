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
from rootless.typed import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.rootfs import Rootfs
    from rootless.storage.changes import Change
    from rootless.storage.layer_store import LayerStore


class Target(NamedTuple):
    """The layer to make: what it lies on, and its blob (``layers.Layers.commit`` explains the fields)."""

    parent: ChainID | None
    output: str
    compression: str
    timestamp: int | None


class CommitRequest(NamedTuple):
    """What to make a layer of, and how."""

    rootfs: Rootfs
    bundle: str
    target: Target
    skip: tuple[str, ...]
    consume: bool
    owner: tuple[int, int] | None = None


# Diff ID, digest, size in bytes, number of entries, chain ID.
Made: TypeAlias = tuple[str, str, int, int, str]


def commit(store: LayerStore, request: CommitRequest) -> Made:
    """Write the blob and publish the layer."""
    allow_depth()
    skip = Skip(request.skip)
    # fuse-overlayfs leaves marks of its own in an upper directory, which the kernel's overlay shows.
    moves = request.consume and request.rootfs.driver == "overlay"
    packed = pack(request.target, _changes(store, request, skip), settle=moves)

    def fill(directory: str) -> dict[str, str]:
        if not moves:
            return unpack_again(store, request.target, packed, directory)
        _move_upper(request, skip, directory)
        return {}

    return publish(store, request.target.parent, packed, fill)


def pack(target: Target, changes: Iterator[Change], *, settle: bool = False) -> Packed:
    """Write the blob."""
    fd = os.open(target.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        packer = Packer(
            fd,
            compressor(target.compression, reproducible=target.timestamp is not None),
            latest=target.timestamp,
            settle=settle,
        )
        return packer.pack(changes)
    finally:
        os.close(fd)


def publish(
    store: LayerStore,
    parent: ChainID | None,
    packed: Packed,
    fill: Callable[[str], dict[str, str]],
) -> Made:
    """Make the layer appear unless it is there; ``fill`` makes its directory and says what it keeps."""
    chain = chain_id(parent, DiffID(packed.diff_id))
    if not store.has(chain):
        scratch, lock = store.open_scratch("commit")
        try:
            kept = fill(f"{scratch}/diff")
            store.publish(
                scratch,
                chain,
                parent=parent,
                diff_id=packed.diff_id,
                size_bytes=packed.content_bytes,
                kept=kept,
            )
        finally:
            files.remove_tree(scratch, missing_ok=True)
            os.close(lock)
    return packed.diff_id, packed.digest, packed.size_bytes, packed.entries, chain


def _changes(store: LayerStore, request: CommitRequest, skip: Skip) -> Iterator[Change]:
    below = store.stack(request.target.parent)
    rootfs = request.rootfs
    if rootfs.upper is not None:
        changes = upper_changes(rootfs.upper, below, skip)
    else:
        changes = tree_changes(rootfs.lower[0], below, copied_ns(request.bundle), skip)
    if request.owner is None:
        return changes
    from rootless.storage.attribution import attributed

    return attributed(changes, below, request.owner)


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


def unpack_again(
    store: LayerStore, target: Target, packed: Packed, directory: str
) -> dict[str, str]:
    """The container goes on with its own files, or they have another form: make the layer anew."""
    os.mkdir(directory, 0o755)
    fd = os.open(target.output, os.O_RDONLY | os.O_CLOEXEC)
    try:
        again = UnpackRequest(
            fd, target.compression, packed.diff_id, store.form.whiteouts, store.id_map
        )
        return unpack(again, directory, lambda: store.stack(target.parent)).kept
    finally:
        os.close(fd)
