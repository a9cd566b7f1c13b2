"""A layer store of the calling user in a directory, and what its layers look like when stacked."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rootless import files
from rootless.host import HostFacts
from rootless.image.digest import ChainID, DiffID, chain_id
from rootless.kernel import mount
from rootless.paths import Paths
from rootless.storage.fuse_overlayfs import FuseOverlayfs
from rootless.storage.layers import Layers
from rootless.storage.overlay import Overlay
from rootless.storage.vfs import Vfs
from rootless.userns import enter, idmap
from tests.support import tars

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs import Rootfs
    from rootless.storage.unpacker import Unpacked

T = TypeVar("T")
Tree = dict[str, "Node"]
DRIVERS = {"overlay": Overlay, "fuse-overlayfs": FuseOverlayfs, "vfs": Vfs}


class Node(NamedTuple):
    """What can be seen of a file; ``same_as`` is the first path of a file with several names."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    content: str = ""
    same_as: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Store:
    """``driver`` is a name of the table; ``single`` takes the map of one id."""

    def __init__(self, home: str, driver: str = "overlay", *, single: bool = False):
        self.paths = Paths(*(f"{home}/{each}" for each in ("data", "cache", "run", "config")))
        os.makedirs(self.paths.data, exist_ok=True)
        self.id_map = (
            idmap.single(os.getuid(), os.getgid()) if single else HostFacts(self.paths).id_map
        )
        self.driver = DRIVERS[driver](self.paths, self.id_map)
        self.layers = Layers(self.paths, self.id_map, self.driver.form)
        self._home = home

    def unpack(self, *archives: bytes, compression: str = "none") -> tuple[ChainID, ...]:
        """Unpack uncompressed layers on top of each other; their chain IDs."""
        chain, _ = self.unpack_noticed(*archives, compression=compression)
        return chain

    def unpack_noticed(
        self, *archives: bytes, compression: str = "none"
    ) -> tuple[tuple[ChainID, ...], list[Unpacked]]:
        chain: list[ChainID] = []
        with self.layers.unpacker() as unpacker:
            for archive in archives:
                parent = chain[-1] if chain else None
                diff_id = DiffID(tars.diff_id(archive))
                chain.append(chain_id(parent, diff_id))
                if self.layers.has(chain[-1]) or chain[-1] in chain[:-1]:
                    continue
                fd = os.memfd_create("layer")
                with open(fd, "wb", closefd=False) as file:
                    file.write(tars.gzipped(archive) if compression == "gzip" else archive)
                os.lseek(fd, 0, os.SEEK_SET)
                unpacker.submit(
                    fd,
                    compression=compression,
                    chain_id=chain[-1],
                    parent=parent,
                    diff_id=diff_id,
                )
                os.close(fd)
            return tuple(chain), unpacker.wait()

    def bundle(self) -> str:
        """The directory of a new container."""
        path = f"{self.paths.containers}/{files.random_name()}"
        os.makedirs(path)
        return path

    def in_rootfs(self, rootfs: Rootfs, function: Callable[[str], T]) -> T:
        """Call ``function`` with the path of the mounted root, as root of the user namespace."""
        merged = f"{self._home}/merged-{files.random_name()}"
        os.mkdir(merged)

        def work() -> T:
            os.umask(0o022)
            if rootfs.driver == "vfs":
                return function(rootfs.lower[0])
            _mount(rootfs, merged)
            try:
                return function(merged)
            finally:
                os.chdir("/")
                mount.unmount(merged)

        try:
            return enter.call(work, self.id_map, mount_namespace=True)
        finally:
            os.rmdir(merged)

    def tree(self, chain: tuple[ChainID, ...]) -> Tree:
        """What a container of these layers would see."""
        bundle = self.bundle()
        rootfs = self.driver.rootfs(chain, bundle)
        try:
            return _nodes(self.in_rootfs(rootfs, lambda root: list(listing(root))))
        finally:
            self.layers.remove(bundle)

    def layer(self, chain: ChainID) -> Tree:
        """What lies on disk for one layer, seen from inside."""
        path = self.layers.path(chain)
        return _nodes(enter.call(lambda: list(listing(path)), self.id_map))

    def leftovers(self) -> list[str]:
        """What lies in scratch and trash."""
        found = []
        for path in (self.paths.scratch, self.paths.trash):
            found += os.listdir(path) if os.path.isdir(path) else []
        return found

    def remove(self) -> None:
        """Everything, whoever owns it."""
        enter.call(lambda: files.remove_tree(self._home, missing_ok=True), self.id_map)


def _mount(rootfs: Rootfs, target: str) -> None:
    options = f"lowerdir={':'.join(rootfs.lower)},upperdir={rootfs.upper},workdir={rootfs.work}"
    if rootfs.driver == "overlay":
        mount.mount("overlay", target, "overlay", 0, ",".join((options, *rootfs.options)))
        return
    import subprocess

    subprocess.run(["fuse-overlayfs", "-o", options, target], check=True)


def _nodes(rows: list[tuple[object, ...]]) -> Tree:
    return {str(path): Node(*fields) for path, *fields in rows}  # type: ignore[arg-type]


def listing(root: str) -> list[tuple[object, ...]]:
    """(path, and the fields of Node) of everything below ``root``, in plain values."""
    rows: list[tuple[object, ...]] = []
    seen: dict[tuple[int, int], str] = {}
    _list(root, ".", rows, seen)
    return rows


def _list(
    root: str, path: str, rows: list[tuple[object, ...]], seen: dict[tuple[int, int], str]
) -> None:
    full = f"{root}/{path}"
    status = os.lstat(full)
    kind, content, same_as = "other", "", ""
    if stat.S_ISLNK(status.st_mode):
        kind, content = "link", os.readlink(full)
    elif stat.S_ISDIR(status.st_mode):
        kind = "directory"
    elif stat.S_ISREG(status.st_mode):
        kind = "file"
        with open(full, "rb") as file:
            content = f"{status.st_size} {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    elif stat.S_ISFIFO(status.st_mode):
        kind = "fifo"
    elif stat.S_ISCHR(status.st_mode):
        kind = "whiteout" if status.st_rdev == 0 else "device"
    if status.st_nlink > 1 and kind != "directory":
        first = seen.setdefault((status.st_dev, status.st_ino), path)
        same_as = first if first != path else ""
    names = os.listxattr(full, follow_symlinks=False)
    xattrs = tuple(
        (name, os.getxattr(full, name, follow_symlinks=False))
        for name in sorted(names)
        if not name.startswith(("user.overlay.", "user.fuseoverlayfs.", "security.selinux"))
    )
    mode = stat.S_IMODE(status.st_mode)
    rows.append(
        (
            *(path, kind, mode, status.st_uid, status.st_gid, int(status.st_mtime)),
            *(content, same_as, xattrs),
        )
    )
    if kind == "directory":
        for name in sorted(os.listdir(full)):
            _list(root, f"{path}/{name}" if path != "." else name, rows, seen)
