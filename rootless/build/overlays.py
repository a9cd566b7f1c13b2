"""A part of a stack of overlayfs layers, as a stack again.  Runs INSIDE the user namespace."""

from __future__ import annotations

import os
from stat import S_ISDIR

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")


def merged_directories(layers: tuple[str, ...], path: str) -> tuple[str, ...]:
    """The directories that, stacked, are the directory ``path`` of the stack; both top first.

    ``path`` is free of links and a directory in the merged tree.
    """
    parts = [part for part in path.split("/") if part]
    found = []
    for layer, hides_lower in _presences(layers, parts):
        if layer:
            found.append(layer)
        if hides_lower:
            break
    return tuple(found)


def top_file(layers: tuple[str, ...], path: str) -> str | None:
    """Where the content of a file lies that is no directory in the merged tree."""
    return next((place for layer in layers if os.path.lexists(place := f"{layer}/{path}")), None)


def _presences(layers: tuple[str, ...], parts: list[str]) -> Iterator[tuple[str, bool]]:
    """For each layer: its directory ("" without), and whether it hides what lies below it."""
    for layer in layers:
        here = layer
        hides = False
        for part in parts:
            here = f"{here}/{part}"
            try:
                status = os.lstat(here)
            except FileNotFoundError:
                here = ""
                break
            if not S_ISDIR(status.st_mode):
                # A whiteout, or something that a directory above has replaced.
                here, hides = "", True
                break
            hides = hides or _is_opaque(here)
        yield here, hides


def _is_opaque(path: str) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False
