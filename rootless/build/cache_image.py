"""A build cache as one OCI artifact, so that a directory, a tar and a registry can all hold it.  Pure.

Its config lists the records by step key and the cache mounts by id; its layers are the layers of the
steps, and a tar for each cache mount.
"""

from __future__ import annotations

import json

from rootless.build.cache import Record, parse_record
from rootless.errors import ImageRefused, RootlessError
from rootless.image.digest import Digest, digest_of, parse_digest
from rootless.image.documents import OCI_LAYER, OCI_MANIFEST, to_json
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.image.documents import Descriptor, Manifest

ARTIFACT = "application/vnd.rootless.build-cache.v1"
CONFIG = "application/vnd.rootless.build-cache.records.v1+json"
MOUNT = f"{OCI_LAYER}+gzip"
MOUNT_ID = "rootless.build-cache.mount"
TAG = "build-cache"


class Contents(NamedTuple):
    """What a cache holds: layers by step key, tars of cache mounts by id."""

    records: Mapping[Digest, Record]
    mounts: Mapping[str, Descriptor]


def encode(contents: Contents) -> tuple[bytes, bytes]:
    """The config and the manifest."""
    config = to_json(
        {
            "version": 1,
            "records": {key: record._asdict() for key, record in sorted(contents.records.items())},
            "mounts": {name: each["digest"] for name, each in sorted(contents.mounts.items())},
        }
    )
    layers: dict[str, Descriptor] = {}
    for record in contents.records.values():
        layers[record.digest] = {
            "mediaType": record.media_type,
            "digest": record.digest,
            "size": record.size_bytes,
        }
    for name, descriptor in contents.mounts.items():
        layers[descriptor["digest"]] = {**descriptor, "annotations": {MOUNT_ID: name}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [layers[digest] for digest in sorted(layers)],
    }
    return config, to_json(manifest)


def decode(manifest: Manifest, config: bytes, *, name: str) -> Contents:
    """What an artifact holds.  Raises ImageRefused for anything else."""
    if manifest["config"]["mediaType"] != CONFIG:
        raise ImageRefused(f"{name} is no build cache")
    blobs = {each["digest"]: each for each in manifest["layers"]}
    try:
        document: Any = json.loads(config)
        records = {
            parse_digest(key): record
            for key, value in document["records"].items()
            if (record := parse_record(value)) is not None and record.digest in blobs
        }
        mounts = {
            cache_id: blobs[digest]
            for cache_id, digest in document["mounts"].items()
            if digest in blobs
        }
    except (ValueError, KeyError, TypeError, AttributeError, RootlessError):
        raise ImageRefused(f"{name} is a damaged build cache") from None
    return Contents(records, mounts)
