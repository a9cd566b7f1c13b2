"""Manifests of another format or with other layer blobs: the image stays what it was.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest, Unsupported
from rootless.image.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    layer_compression,
)
from rootless.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rootless.image.documents import Descriptor, Manifest

FORMATS = {"oci": "oci", "docker": "docker", "v2s2": "docker"}
_SUFFIXES = {"gzip": "gzip", "zstd": "zstd", "none": ""}


def parse_format(text: str) -> str:
    """``oci`` or ``docker``; podman and skopeo call the latter v2s2."""
    if text not in FORMATS:
        raise InvalidRequest(f"no image format {text!r}", hint="oci, or docker (also v2s2)")
    return FORMATS[text]


def format_of(manifest: Manifest) -> str:
    """Whether a manifest is the OCI's or docker's."""
    return "docker" if manifest.get("mediaType") == DOCKER_MANIFEST else "oci"


def layer_type(compression: str, form: str) -> str:
    """The media type of a layer.  Docker's manifests know no zstd."""
    suffix = _SUFFIXES[compression]
    if form == "oci":
        return OCI_LAYER + (f"+{suffix}" if suffix else "")
    if compression == "zstd":
        raise Unsupported("docker's image format has no zstd layers", hint="--format oci")
    return DOCKER_LAYER + (f".{suffix}" if suffix else "")


def converted(
    manifest: Manifest, *, layers: list[Descriptor] | None = None, form: str | None = None
) -> Manifest:
    """The manifest with other layer blobs, in another format, or both.

    Docker's format has no annotations; they are left out there.
    """
    form = form or format_of(manifest)
    new: Manifest = {
        **manifest,
        "mediaType": OCI_MANIFEST if form == "oci" else DOCKER_MANIFEST,
        "config": {
            **manifest["config"],
            "mediaType": OCI_CONFIG if form == "oci" else DOCKER_CONFIG,
        },
        "layers": [_layer(each, form) for each in layers or manifest["layers"]],
    }
    if form == "docker":
        new.pop("annotations", None)
        new.pop("subject", None)
    return new


def _layer(layer: Descriptor, form: str) -> Descriptor:
    compression = layer_compression(layer, name="the image")
    new = {**layer, "mediaType": layer_type(compression, form)}
    if form == "docker":
        new.pop("annotations", None)
    return cast("Descriptor", new)
