"""HOST SIDE: take away what lies on disk of a container of which nothing runs."""

from __future__ import annotations

import os

from rootless import files
from rootless.runtime import container as store
from rootless.runtime.journal import note_container
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.runtime.container import Container


def drop(engine: Engine, container: Container, *, volumes: bool = False) -> None:
    """Take the container and its name away.  For who knows that nothing of it runs.

    Its anonymous volumes go with ``volumes``, and where it was to remove itself.
    """
    doomed = f"{engine.paths.trash}/{container.id}-{files.random_name(4)}"
    try:
        os.rename(container.bundle, doomed)
    except FileNotFoundError:
        return
    finally:  # not before: while its container is there, nobody else can take a name away
        store.release_name(engine.paths, container.name, container.id)
    note_container(engine.paths, container.record, "remove")
    discard(engine, doomed)
    if (volumes or container.record["auto_remove"]) and container.record.get("anonymous_volumes"):
        from rootless.engine.mounts import remove_anonymous

        remove_anonymous(engine, container.record)


def discard(engine: Engine, path: str) -> None:
    """Remove a tree of ours, from inside the user namespace only where that is needed."""
    try:
        files.remove_tree(path, missing_ok=True)
    except OSError:  # files of subordinate ids, or on NFS some that are still read
        engine.layers.remove(path)
