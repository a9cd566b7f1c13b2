"""From a manifest and its config to an image, each checked against the other."""

from __future__ import annotations

from rootless.errors import Unsupported
from rootless.image.digest import chain_ids, check_bytes
from rootless.image.documents import (
    CONFIGS,
    Descriptor,
    Image,
    Manifest,
    check_layers,
    parse_config,
)
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def read_image(
    descriptor: Descriptor,
    manifest: Manifest,
    read: Callable[[Descriptor], bytes],
    *,
    name: str = "",
) -> Image:
    """Put an image together from its manifest; ``read`` gets the config, checked against its digest.

    Raises Unsupported for what is stored like an image and is none.
    """
    name = name or f"manifest {descriptor['digest']}"
    kind = manifest.get("artifactType") or manifest["config"]["mediaType"]
    if manifest["config"]["mediaType"] not in CONFIGS:
        raise Unsupported(f"{name} is an artifact of type {kind}, not an image")
    content = read(manifest["config"])
    check_bytes(
        content,
        digest=manifest["config"]["digest"],
        size_bytes=manifest["config"]["size"],
        name=f"config of {name}",
    )
    config = parse_config(content, name=f"config of {name}")
    check_layers(manifest, config, name=name)
    return Image(
        reference="",
        manifest_descriptor={
            "mediaType": descriptor["mediaType"],
            "digest": descriptor["digest"],
            "size": descriptor["size"],
        },
        manifest=manifest,
        config=config,
        config_digest=manifest["config"]["digest"],
        chain=chain_ids(config["rootfs"]["diff_ids"]),
        size_bytes=sum(layer["size"] for layer in manifest["layers"]),
    )
