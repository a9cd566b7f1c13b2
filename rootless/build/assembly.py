"""The documents of the image that a build made.  Pure.

The times in them come from the layers, so a build that found everything in the cache gives the same
image again.
"""

from __future__ import annotations

from rootless.build.history import COMMENT
from rootless.image.digest import digest_of
from rootless.image.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    to_json,
)
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rootless.build.cache import Record
    from rootless.build.history import HistoryLine
    from rootless.image.documents import ContainerConfig, Descriptor, History, ImageConfig

_EPOCH = "1970-01-01T00:00:00Z"
# Fields of a docker config that describe the container which made the base image.
_STALE = ("container", "container_config", "docker_version", "id", "parent", "throwaway")


class Base(NamedTuple):
    """What the image stands on; an empty one for ``scratch``."""

    config: ImageConfig | None = None
    layers: tuple[Descriptor, ...] = ()


class Finished(NamedTuple):
    """What a target ended with."""

    config: ContainerConfig
    author: str
    platform: str
    history: Sequence[HistoryLine]
    records: Sequence[Record]
    comment: str = COMMENT


class Documents(NamedTuple):
    """An image as the bytes of its two documents."""

    config: bytes
    manifest: bytes
    media_type: str


def assemble(
    base: Base,
    finished: Finished,
    *,
    format: str = "oci",
    annotations: Mapping[str, str] | None = None,
    timestamp: str | None = None,
) -> Documents:
    """The config and the manifest; ``timestamp`` overrides when the new parts were made."""
    docker = format == "docker"
    history = _history(base, finished, timestamp)
    config = _config(base, finished, history)
    content = to_json(config)
    layers = [*base.layers, *(_descriptor(record) for record in finished.records)]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": {
            "mediaType": DOCKER_CONFIG if docker else OCI_CONFIG,
            "digest": digest_of(content),
            "size": len(content),
        },
        "layers": [_in_format(layer, docker=docker) for layer in layers],
    }
    if annotations and not docker:
        manifest["annotations"] = dict(annotations)
    return Documents(content, to_json(manifest), manifest["mediaType"])


def _config(base: Base, finished: Finished, history: list[History]) -> dict[str, Any]:
    before: dict[str, Any] = dict(base.config or {})
    for name in (
        *_STALE,
        "architecture",
        "os",
        "variant",
        "config",
        "rootfs",
        "history",
        "created",
    ):
        before.pop(name, None)
    system, architecture, variant = (*finished.platform.split("/"), "", "")[:3]
    diff_ids = base.config["rootfs"]["diff_ids"] if base.config else []
    config: dict[str, Any] = {"created": history[-1].get("created", _EPOCH) if history else _EPOCH}
    if finished.author:
        config["author"] = finished.author
    before.pop("author", None)
    config |= {"architecture": architecture, "os": system}
    if variant:
        config["variant"] = variant
    config["config"] = {name: value for name, value in finished.config.items() if value}
    config["rootfs"] = {
        "type": "layers",
        "diff_ids": [*diff_ids, *(record.diff_id for record in finished.records)],
    }
    config["history"] = history
    return config | before


def _history(base: Base, finished: Finished, timestamp: str | None) -> list[History]:
    """The base's lines and the new ones; a line without a layer is as old as the layer before it."""
    old = list(base.config.get("history", [])) if base.config else []
    records = iter(finished.records)
    first = finished.records[0].created if finished.records else _created(base)
    moment = timestamp or first
    new: list[History] = []
    for line in finished.history:
        if not line.empty:
            moment = timestamp or next(records).created
        entry: dict[str, Any] = {
            "created": moment,
            "created_by": line.created_by,
            "comment": finished.comment,
        }
        if finished.author and finished.comment != COMMENT:
            entry["author"] = finished.author
        if line.empty:
            entry["empty_layer"] = True
        new.append(cast("History", entry))
    return old + new


def _created(base: Base) -> str:
    if base.config is None:
        return _EPOCH
    return base.config.get("created") or _EPOCH


def _descriptor(record: Record) -> Descriptor:
    return {"mediaType": record.media_type, "digest": record.digest, "size": record.size_bytes}


def _in_format(layer: Descriptor, *, docker: bool) -> Descriptor:
    """The descriptor with the media type of the format; docker's manifests know no OCI layers."""
    kind = layer["mediaType"]
    if kind.startswith(OCI_LAYER) and docker:
        suffix = kind.removeprefix(OCI_LAYER).replace("+", ".")
        return {**layer, "mediaType": DOCKER_LAYER + suffix}
    if kind.startswith(DOCKER_LAYER) and not docker:
        suffix = kind.removeprefix(DOCKER_LAYER).replace(".", "+")
        return {**layer, "mediaType": OCI_LAYER + suffix}
    return layer


def annotations_of(pairs: Iterable[str]) -> dict[str, str]:
    """``K=V`` texts, a prefix such as ``manifest:`` removed."""
    found = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        found[key.removeprefix("manifest:")] = value
    return found
