"""``diff``: what a container has changed, and what one image has that another has not."""

from __future__ import annotations

from rootless.engine.trees import rootfs_of
from rootless.errors import NotFound
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine import Engine
    from rootless.runtime.container import Container
    from rootless.storage.stack import Stack


class Difference(NamedTuple):
    """``kind`` is A for added, C for changed, D for deleted; ``path`` is absolute."""

    kind: str
    path: str


def diff(engine: Engine, names: Sequence[str]) -> list[Difference]:
    """A container or an image against what it was made from, or an image against a second one.

    Raises NotFound.
    """
    try:
        container = store.find(engine.paths, names[0]) if len(names) == 1 else None
    except NotFound:
        container = None
    if container is not None:
        return container_diff(engine, container)
    try:
        return image_diff(engine, names)
    except NotFound as error:
        if len(names) == 1:
            raise NotFound(
                f"no container or image {names[0]!r}", hint="rootless ps -a, rootless images"
            ) from None
        raise error


def container_diff(engine: Engine, container: Container) -> list[Difference]:
    """What the container changed, whether it runs or not.  Volumes and mounts are not its own."""
    from rootless.storage.differences import container_differences

    lower = stack_of(engine, container.record["chain"])
    rootfs, skip = rootfs_of(container), mount_targets(container)
    with engine.use_store():
        found = enter.call(
            lambda: container_differences(rootfs, lower, bundle=container.bundle, skip=skip),
            engine.id_map,
        )
    return _named(found)


def image_diff(engine: Engine, names: Sequence[str]) -> list[Difference]:
    """What the first image has other than the second, or without one, other than below its top layer."""
    from rootless.engine.unpacking import unpack_stored
    from rootless.storage.differences import stack_differences

    images = [engine.layout.resolve(name) for name in names]
    for image in images:
        unpack_stored(engine, image)
    chain = images[0].chain
    new = stack_of(engine, chain)
    old = stack_of(engine, images[1].chain if len(images) > 1 else chain[:-1])
    with engine.use_store():
        return _named(enter.call(lambda: stack_differences(old, new), engine.id_map))


def _named(found: list[tuple[str, bytes]]) -> list[Difference]:
    return [Difference(kind, "/" + path.decode(errors="surrogateescape")) for kind, path in found]


def stack_of(engine: Engine, chain: Sequence[str]) -> Stack:
    """The unpacked layers of a chain."""
    from rootless.storage.stack import Stack

    return Stack(tuple(engine.layers.path(each) for each in reversed(chain)))


def mount_targets(container: Container) -> tuple[str, ...]:
    """Where something is mounted: what lies there was only made for that."""
    return tuple(each["destination"] for each in container.spec()["mounts"])
