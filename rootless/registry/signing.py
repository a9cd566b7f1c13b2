"""Sign a pushed image: the counterpart of ``sigstore.check``, for podman and cosign to read as well."""

from __future__ import annotations

import base64
import os
import sys

from rootless import files
from rootless.errors import HostLacks, InvalidRequest, NotFound, Unsupported
from rootless.events import ignore
from rootless.image.digest import digest_of
from rootless.image.documents import OCI_CONFIG, OCI_MANIFEST, parse_manifest, to_json
from rootless.registry.sigstore import PAYLOAD, SIGNATURE
from rootless.registry.upload import Blob, Upload
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.image.digest import Digest
    from rootless.image.documents import Descriptor
    from rootless.image.reference import Reference
    from rootless.registry.client import Client


def load_key(path: str, passphrase: bytes | None) -> Any:
    """A PEM private key.  Raises InvalidRequest, or Unsupported for cosign's own encryption."""
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise HostLacks(
            "signing needs the package cryptography",
            hint=f"{sys.executable} -m pip install cryptography",
        ) from None
    try:
        text = files.read_bytes(path)
    except OSError as error:
        raise InvalidRequest(f"cannot read the key {path}: {error.strerror}") from None
    if b"SIGSTORE PRIVATE KEY" in text or b"COSIGN PRIVATE KEY" in text:
        raise Unsupported(
            f"{path} is encrypted in cosign's own way",
            hint="openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 makes a PEM key",
        )
    try:
        return load_pem_private_key(text, passphrase)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{path} is not a private key that can be read: {error}") from None


def sign(client: Client, reference: Reference, digest: Digest, *, key: Any, scratch: str) -> None:
    """Attach a signature of the image under its name; those that are there stay."""
    payload = to_json(
        {
            "critical": {
                "type": "cosign container image signature",
                "image": {"docker-manifest-digest": digest},
                "identity": {"docker-reference": str(reference._replace(digest=None))},
            },
            "optional": {"creator": "rootless"},
        }
    )
    layer: Descriptor = {
        "mediaType": PAYLOAD,
        "digest": digest_of(payload),
        "size": len(payload),
        "annotations": {SIGNATURE: base64.b64encode(_signature(key, payload)).decode()},
    }
    tag = f"{digest.replace(':', '-')}.sig"
    layers = [*_existing(client, tag), layer]
    config = to_json(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]},
        }
    )
    described: Descriptor = {
        "mediaType": OCI_CONFIG,
        "digest": digest_of(config),
        "size": len(config),
    }
    _upload(client, ((layer, payload), (described, config)), scratch)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described,
        "layers": layers,
    }
    client.put_manifest(tag, to_json(manifest), OCI_MANIFEST)


def _existing(client: Client, tag: str) -> list[Descriptor]:
    try:
        return parse_manifest(client.manifest(tag).content, name=tag)["layers"]
    except NotFound:
        return []


def _upload(client: Client, contents: tuple[tuple[Descriptor, bytes], ...], scratch: str) -> None:
    blobs = []
    for descriptor, content in contents:
        path = f"{scratch}/{descriptor['digest'].partition(':')[2]}"
        files.write_atomic(path, content, durable=False)
        blobs.append(Blob(descriptor, path))
    Upload(client, tuple(blobs), place=os.path.dirname(scratch)).run(ignore)


def _signature(key: Any, payload: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    signature: bytes
    match key:
        case ec.EllipticCurvePrivateKey():
            signature = key.sign(payload, ec.ECDSA(SHA256()))
        case rsa.RSAPrivateKey():
            signature = key.sign(payload, padding.PKCS1v15(), SHA256())
        case ed25519.Ed25519PrivateKey():
            signature = key.sign(payload)
        case _:
            raise Unsupported(f"keys of type {type(key).__name__} are not supported")
    return signature
