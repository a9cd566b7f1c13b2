"""Image stores that are only read: folders that an administrator fills for many users.

In config.toml: ``[storage]`` with ``additional-image-stores = ["/srv/images"]``.  Their blobs are used where
they lie.  Layers are unpacked into the user's own store, once, for owners on disk mean something else for
every user.
"""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import InvalidRequest
from rootless.image.layout import Layout
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = "additional-image-stores"


def additional_layouts(config: str, own: str) -> tuple[Layout, ...]:
    """The layouts that config.toml at ``config`` names; ``own`` is the user's layout, which is written.

    Raises InvalidRequest for a folder that holds no images: a typing error would look like a loss.
    """
    text = files.read_bytes(config)
    if _KEY.encode() not in text:  # reading TOML costs milliseconds on the way of every run
        return ()
    return tuple(Layout(each, records=f"{own}/records") for each in _paths(config, text))


def _paths(config: str, text: bytes) -> Iterator[str]:
    import tomllib

    try:
        table: Any = tomllib.loads(text.decode()).get("storage", {})
        named = table.get(_KEY, []) if isinstance(table, dict) else None
    except ValueError as error:
        raise InvalidRequest(f"{config} is not TOML: {error}") from None
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise InvalidRequest(f"{config}: storage.{_KEY} is no list of paths")
    for path in named:
        yield _layout_in(os.path.abspath(os.path.expanduser(path)))


def _layout_in(path: str) -> str:
    """The layout at a path: the folder itself, or what a store or a ROOTLESS_HOME keeps below it."""
    for place in (path, f"{path}/images", f"{path}/data/images"):
        if os.path.exists(f"{place}/oci-layout"):
            return place
    reason = "is no OCI image layout" if os.access(path, os.X_OK) else "cannot be read"
    raise InvalidRequest(
        f"the additional image store {path} {reason}",
        hint=f"fill it with: rootless save --format oci-dir -o {path} IMAGE, and chmod -R a+rX {path}",
    )
