"""MONITOR: what the small interpreter that stands by a container asks the engine for (runtime/standby.py)."""

from __future__ import annotations

import os

from rootless.engine import Engine
from rootless.errors import NotFound, RootlessError
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rootless.runtime.standing import Standing

_FAILED = 125


def finish(container_id: str) -> None:
    """The container has ended for good."""
    from rootless.engine import lifecycle

    engine = Engine.open()
    try:
        lifecycle.finish(engine, store.load(engine.paths, container_id))
    except NotFound:
        pass  # somebody has removed it


def resume(standing: Standing) -> NoReturn:
    """Launch the container again, under a monitor that goes on as this process."""
    from rootless.engine import lifecycle
    from rootless.engine.prepared import prepare
    from rootless.runtime.monitor import Monitor

    try:
        engine = Engine.open()
        prepared = prepare(engine, store.load(engine.paths, standing.place.id))
        watch = lifecycle.watch_of(engine, prepared, alive=standing.place.alive)
    except RootlessError:
        standing.end(_FAILED)
        os._exit(0)
    Monitor(watch, -1, standing).run()
