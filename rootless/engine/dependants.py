"""Which containers cannot be without another: they share its network, processes or volumes."""

from __future__ import annotations

from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.runtime.container import Container

_NAMESPACES = ("pid", "ipc", "uts", "userns", "cgroupns")


def dependants(engine: Engine, container: Container) -> list[Container]:
    """Those that depend on it, and on those; whoever depends comes before what it depends on."""
    others = [each for each in store.all_containers(engine.paths, []) if each.id != container.id]
    found: dict[str, Container] = {}
    _collect(container, others, found)
    return list(found.values())


def _collect(container: Container, others: list[Container], found: dict[str, Container]) -> None:
    for other in others:
        if other.id not in found and any(_means(name, container) for name in _needs(other)):
            found[other.id] = other  # before its own, so that a circle has an end
            _collect(other, others, found)
            found[other.id] = found.pop(other.id)


def _needs(container: Container) -> Iterator[str]:
    """The names or ids of the containers that it was told to share something with."""
    settings = container.record["settings"]
    texts = [*settings.get("network", ()), *(settings.get(each) or "" for each in _NAMESPACES)]
    for text in texts:
        kind, _, name = str(text).partition(":")
        if kind == "container" and name:
            yield name
    yield from (each.partition(":")[0] for each in settings.get("volumes_from", ()))
    yield from settings.get("requires", ())


def _means(name: str, container: Container) -> bool:
    return name == container.name or (len(name) >= 4 and container.id.startswith(name))
