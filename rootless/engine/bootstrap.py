"""``image bootstrap``: store an image made of this host's own files, with no network and no root."""

from __future__ import annotations

import gzip
import os

from rootless import __version__, events
from rootless.image import bootstrap as tree
from rootless.image import documents
from rootless.image.digest import DiffID, digest_of
from rootless.image.platforms import platform_of_machine
from rootless.image.reference import parse_reference
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report

DEFAULT_NAME = "localhost/host-base:latest"


class BootstrapResult(NamedTuple):
    """The image, and in words what is in it."""

    reference: str
    image_id: str
    description: str


def bootstrap(
    engine: Engine, name: str = DEFAULT_NAME, report: Report = events.ignore
) -> BootstrapResult:
    """Make the image and tag it.  Raises HostLacks where the host has nothing to make it of."""
    from rootless.engine.images import ensure

    reference = parse_reference(name)
    chosen = tree.choose(os.environ.get("PATH", os.defpath))
    layer = tree.write_tar(chosen, name=reference.familiar, version=__version__)
    blob = gzip.compress(layer, 6, mtime=0)
    config = documents.to_json(
        {
            **platform_of_machine(os.uname().machine),
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Cmd": ["/bin/sh"],
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [DiffID(digest_of(layer))]},
            "history": [
                {"created": "1970-01-01T00:00:00Z", "created_by": f"rootless: {chosen.description}"}
            ],
        }
    )
    manifest = documents.to_json(
        {
            "schemaVersion": 2,
            "mediaType": documents.OCI_MANIFEST,
            "config": _descriptor(documents.OCI_CONFIG, config),
            "layers": [_descriptor(f"{documents.OCI_LAYER}+gzip", blob)],
        }
    )
    with engine.use_store():
        engine.layout.create()
        for content in (blob, config, manifest):
            engine.layout.put_blob(content, digest_of(content))
        engine.layout.tag(reference, _descriptor(documents.OCI_MANIFEST, manifest))
        image = ensure(engine, str(reference), policy="never", report=report)
    return BootstrapResult(str(reference), image.image_id, chosen.description)


def _descriptor(media_type: str, content: bytes) -> documents.Descriptor:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
