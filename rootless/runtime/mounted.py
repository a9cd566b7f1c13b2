"""Call a function on a mounted root filesystem, in a throw-away mount namespace (HOST SIDE starts it)."""

from __future__ import annotations

import os

from rootless.runtime.operations import BindRoot, MountFuse, MountOverlay, Root
from rootless.typed import TYPE_CHECKING, TypeVar
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap

T = TypeVar("T")


def in_rootfs(rootfs: Rootfs, id_map: IdMap, function: Callable[[int], T]) -> T:
    """Run ``function(root)`` as root of the user namespace, with ``root`` a descriptor of the mounted tree.

    The result must be something marshal can write.  Raises what ``function`` raises (userns.enter).
    """
    return enter.call(lambda: function(mount_rootfs(rootfs)), id_map, mount_namespace=True)


def spawn_in_rootfs(rootfs: Rootfs, id_map: IdMap, function: Callable[[int], T]) -> enter.Child[T]:
    """The same, beside the caller."""
    return enter.spawn(lambda: function(mount_rootfs(rootfs)), id_map, mount_namespace=True)


def mount_rootfs(rootfs: Rootfs, target: str | None = None) -> int:
    """Mount it in the calling process's own mount namespace; a descriptor of its root.

    Any directory will do as a mount point, since only this process sees it; it must be told where a
    second root filesystem is mounted, whose layers the first might hide.
    """
    if target is None:
        target = rootfs.lower[0] if rootfs.driver == "vfs" else os.path.dirname(rootfs.lower[0])
    root = Root()
    if rootfs.driver == "overlay":
        MountOverlay(rootfs.lower, rootfs.upper, rootfs.work, rootfs.options, target).apply(root)
    elif rootfs.driver == "fuse-overlayfs":
        _serve(rootfs, root)
        MountFuse(len(rootfs.lower), target).apply(root)
    else:
        BindRoot(rootfs.lower[0], target).apply(root)
    return root.fd


def _serve(rootfs: Rootfs, root: Root) -> None:
    """Fork the FUSE server into this namespace; it ends with us, its parent."""
    from rootless.kernel import link, namespace, process
    from rootless.runtime.plan import fuse_arguments

    program = next(
        path
        for directory in os.environ.get("PATH", os.defpath).split(":")
        if os.access(path := f"{directory}/fuse-overlayfs", os.X_OK)
    )
    read_end, write_end = link.descriptor_pair()
    unshared_read, unshared_write = os.pipe2(os.O_CLOEXEC)
    argv = fuse_arguments(rootfs, program)
    if os.fork() == 0:
        try:
            process.set_parent_death_signal(9)
            os.close(write_end)
            # Before there is the mount: it would keep us alive, and may lie above the layers that we
            # are about to open, so that we would wait for ourselves.
            namespace.unshare(namespace.CLONE_NEWNS)
            os.write(unshared_write, b"U")
            (fd,) = link.receive_descriptors(read_end) or (-1,)
            null = os.open("/dev/null", os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            os.dup2(fd, 3)
            process.close_from(4)
            os.execve(argv[0], argv, {})
        finally:
            os._exit(125)
    os.close(read_end)
    os.close(unshared_write)
    os.read(unshared_read, 1)  # nothing, should it have failed: then the mount will not answer
    os.close(unshared_read)
    root.fuse = write_end
