"""Sigstore signatures of images: artifacts under the tag ``sha256-<hex>.sig`` of the same repository."""

from __future__ import annotations

import base64
import json
import os
import sys

from rootless import files
from rootless.errors import (
    HostLacks,
    ImageRefused,
    InvalidRequest,
    NotFound,
    RegistryFailed,
    Unsupported,
)
from rootless.image.digest import check_bytes
from rootless.image.documents import parse_manifest
from rootless.image.reference import Reference, parse_reference
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.digest import Digest
    from rootless.registry.client import Client
    from rootless.registry.policy import Requirement

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_SIGNATURE_LIMIT = 64  # signatures of one image that are looked at


def check(
    requirement: Requirement,
    reference: Reference,
    digests: tuple[Digest, ...],
    *,
    client: Client,
    path: str,
) -> None:
    """Raise ImageRefused unless the key of the requirement has signed the image under its name."""
    for field in ("fulcio", "rekorPublicKeyPath", "rekorPublicKeyData", "pki"):
        if field in requirement:
            raise Unsupported(f"{path}: sigstoreSigned with {field} is not supported")
    key = _public_key(_key_of(requirement, path), path)
    reasons = []
    for digest in dict.fromkeys(digests):
        for payload, signature in _signatures(client, digest):
            if not _is_signed(key, payload, signature):
                reasons.append("a signature is of another key")
            elif problem := payload_problem(payload, reference, digest, requirement, path=path):
                reasons.append(problem)
            else:
                return
    why = "; ".join(dict.fromkeys(reasons)) or "it has no signature"
    raise ImageRefused(
        f"{reference.familiar} is not signed as policy asks: {why}", hint=f"{path} says so"
    )


def _key_of(requirement: Requirement, path: str) -> bytes:
    """The public key that a requirement names, or holds in base64."""
    key_path, data = requirement.get("keyPath"), requirement.get("keyData")
    if (key_path is None) == (data is None):
        raise InvalidRequest(f"{path}: sigstoreSigned wants one of keyPath and keyData")
    try:
        if isinstance(key_path, str):
            return files.read_bytes(os.path.expanduser(key_path))
        return base64.b64decode(str(data), validate=True)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path}: cannot read the key: {error}") from None


def _signatures(client: Client, digest: Digest) -> Iterator[tuple[bytes, bytes]]:
    """The signed payloads that are attached to an image, with their signatures."""
    try:
        fetched = client.manifest(f"{digest.replace(':', '-')}.sig")
    except NotFound:
        return
    except RegistryFailed as error:
        raise ImageRefused(f"the signatures of {digest} cannot be read: {error.message}") from None
    manifest = parse_manifest(fetched.content, name=f"signatures of {digest}")
    for layer in manifest["layers"][:_SIGNATURE_LIMIT]:
        text = (layer.get("annotations") or {}).get(SIGNATURE)
        if layer["mediaType"] != PAYLOAD or not text:
            continue
        payload = client.small_blob(layer)
        check_bytes(
            payload, digest=layer["digest"], size_bytes=layer["size"], name="a signed payload"
        )
        try:
            yield payload, base64.b64decode(text, validate=True)
        except ValueError:
            continue


def payload_problem(
    payload: bytes, reference: Reference, digest: Digest, requirement: Requirement, *, path: str
) -> str | None:
    """What is wrong with a payload that the right key has signed; None if nothing."""
    try:
        critical: Any = json.loads(payload)["critical"]
        kind, signed = critical["type"], critical["image"]["docker-manifest-digest"]
        identity = critical["identity"]["docker-reference"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "a signed payload is not one of an image"
    if kind != "cosign container image signature":
        return f"a signed payload is of type {kind!r}"
    if signed != digest:
        return f"a signature is for {signed}"
    try:
        claimed = parse_reference(str(identity))
    except InvalidRequest:
        return f"a signature is for the name {identity!r}"
    has_tag = ":" in str(identity).rpartition("/")[2]
    rule = requirement.get("signedIdentity") or {"type": "matchRepoDigestOrExact"}
    if _is_identity(claimed, reference, rule, claims_tag=has_tag, path=path):
        return None
    return f"a signature is for the name {identity}"


def _is_identity(
    claimed: Reference, image: Reference, rule: Any, *, claims_tag: bool, path: str
) -> bool:
    same_repository = claimed.name == image.name
    exact = same_repository and claims_tag and claimed.tag == image.tag
    match rule.get("type") if isinstance(rule, dict) else None:
        case "matchExact":
            return exact and image.digest is None
        case "matchRepoDigestOrExact":
            return same_repository if image.digest else exact
        case "matchRepository":
            return same_repository
        case "exactReference":
            wanted = parse_reference(str(rule.get("dockerReference")))
            return claims_tag and (claimed.name, claimed.tag) == (wanted.name, wanted.tag)
        case "exactRepository":
            return claimed.name == parse_reference(str(rule.get("dockerRepository"))).name
        case kind:
            raise Unsupported(f"{path}: signedIdentity of type {kind!r} is not supported")


def _public_key(text: bytes, path: str) -> Any:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise HostLacks(
            f"{path} asks for signatures, which need the package cryptography",
            hint=f"{sys.executable} -m pip install cryptography",
        ) from None
    try:
        return load_pem_public_key(text)
    except ValueError as error:
        raise InvalidRequest(f"{path}: the key is not a PEM public key: {error}") from None


def _is_signed(key: Any, payload: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, payload, ec.ECDSA(SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, payload, padding.PKCS1v15(), SHA256())
            case ed25519.Ed25519PublicKey():
                key.verify(signature, payload)
            case _:
                raise Unsupported(f"keys of type {type(key).__name__} are not supported")
    except InvalidSignature:
        return False
    return True
