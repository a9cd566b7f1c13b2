"""Removes trees of ours in which files may belong to subordinate ids.  HOST SIDE."""

from __future__ import annotations

import os

from rootless import files
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap


def remove(paths: Paths, id_map: IdMap, path: str) -> None:
    """Remove a tree; a missing one is gone.

    It vanishes at once, by renaming, and is then removed; a crash leaves it in the trash.
    """
    path = _trashed(paths, path)

    def discard() -> None:
        if os.path.dirname(path) == paths.trash:
            files.remove_but_open(path)  # the rest goes with a later sweep
        else:
            files.remove_tree(path, missing_ok=True)

    try:
        discard()  # most trees have only files of the caller
    except PermissionError:
        from rootless.userns import enter

        enter.call(discard, id_map)


def _trashed(paths: Paths, path: str) -> str:
    if os.path.dirname(path) == paths.trash:
        return path
    os.makedirs(paths.trash, mode=0o700, exist_ok=True)
    trash = f"{paths.trash}/{files.random_name()}"
    try:
        os.rename(path, trash)
    except OSError:
        return path  # missing, on another file system, or a directory of a subordinate id
    return trash
