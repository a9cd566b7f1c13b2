"""``export``: all files of a container as a tar archive.  Volumes and mounts are not in it."""

from __future__ import annotations

import os
from contextlib import contextmanager

from rootless import files
from rootless.engine.trees import rootfs_of
from rootless.errors import InvalidRequest, StoreFailed
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.rootfs import Rootfs


def export(engine: Engine, name: str, output: str | None) -> None:
    """Write the archive to a file, which appears when it is whole, or to standard output.

    Raises NotFound, InvalidRequest for a terminal.
    """
    container = store.find(engine.paths, name)
    rootfs = rootfs_of(container)
    try:
        with engine.use_store(), _opened(output) as fd:
            enter.call(lambda: write_tar(rootfs, fd), engine.id_map)
    except BrokenPipeError:
        raise StoreFailed("whoever reads the archive stopped reading it") from None
    except OSError as error:
        raise StoreFailed(f"cannot export container {name}: {error}") from None


def write_tar(rootfs: Rootfs, output: int) -> None:
    """CHILD SIDE: everything that the layers and the container's own files show together."""
    from rootless.storage.compression import compressor
    from rootless.storage.pack import Packer
    from rootless.storage.stack import Stack
    from rootless.storage.trees import allow_depth, locate, walk, walk_merged

    allow_depth()
    packer = Packer(output, compressor("none"))
    if rootfs.upper is None:
        packer.pack(walk(locate(os.open(rootfs.lower[0], os.O_PATH), b".", follow=True), b""))
        return
    merged = Stack((rootfs.upper, *rootfs.lower)).open(b"")
    assert merged is not None
    packer.pack(walk_merged(merged))


@contextmanager
def _opened(path: str | None) -> Iterator[int]:
    """A descriptor to write to: standard output, or a file that takes its place when all went well."""
    if path is None or path == "-":
        if os.isatty(1):
            raise InvalidRequest(
                "an archive is not written to a terminal", hint="--output FILE, or a pipe"
            )
        yield 1
        return
    with files.whole_file(path) as fd:
        yield fd
