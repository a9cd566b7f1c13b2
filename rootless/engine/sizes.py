"""How much containers have written, and how much they show: the one answer for ps, inspect, df and prune."""

from __future__ import annotations

import os

from rootless.typed import TYPE_CHECKING, NamedTuple
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.engine import Engine
    from rootless.runtime.container import Container


class Size(NamedTuple):
    """Bytes in a container's own files, and together with those of its image."""

    written: int
    total: int


def sizes(engine: Engine, containers: Iterable[Container]) -> dict[str, Size]:
    """The size of each, by id: counted as root of the namespace, who may look everywhere."""
    chosen = list(containers)
    places = {each.id: each.record["launch"]["rootfs"].get("upper") or "" for each in chosen}
    places |= {each.id: f"{each.bundle}/rootfs" for each in chosen if not places[each.id]}
    if not chosen:
        return {}
    counted = enter.call(
        lambda: {identifier: _bytes_below(place) for identifier, place in places.items()},
        engine.id_map,
    )
    found = {}
    for each in chosen:
        # A copied root holds what its image holds.
        is_copy = not each.record["launch"]["rootfs"].get("upper")
        below = _of_layers(engine, each)
        written = max(0, counted[each.id] - below) if is_copy else counted[each.id]
        found[each.id] = Size(written, written + below)
    return found


def _bytes_below(place: str) -> int:
    total = 0
    seen: set[tuple[int, int]] = set()
    for directory, _, names in os.walk(place):
        for name in names:
            try:
                status = os.lstat(f"{directory}/{name}")
            except OSError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


def _of_layers(engine: Engine, container: Container) -> int:
    from rootless.engine.images import unpacked_size
    from rootless.image.digest import ChainID

    return sum(unpacked_size(engine, ChainID(each)) for each in container.record["chain"])
