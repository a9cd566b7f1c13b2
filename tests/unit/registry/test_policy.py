from __future__ import annotations

import base64
import json

import pytest

from rootless.errors import ImageRefused, InvalidRequest, NotFound, Unsupported
from rootless.image.digest import digest_of
from rootless.image.documents import OCI_CONFIG, OCI_MANIFEST, parse_manifest, to_json
from rootless.image.reference import parse_reference
from rootless.registry.client import Fetched
from rootless.registry.policy import Policy, check, load

ACCEPT = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]
DIGEST = "sha256:" + "a" * 64
IMAGE = parse_reference("a.io/team/app:1")


def scoped(scope: str, requirements: list) -> Policy:
    return Policy("p", {"default": REJECT, "transports": {"docker": {scope: requirements}}})


@pytest.mark.parametrize(
    "scope",
    ["a.io/team/app:1", "a.io/team/app", "a.io/team", "a.io", "*.io", ""],
)
def test_an_image_is_accepted_by_every_scope_that_names_it(scope):
    check(scoped(scope, ACCEPT), IMAGE, (DIGEST,), None)


@pytest.mark.parametrize("scope", ["a.io/team/app:2", "a.io/tea", "b.io", "*.a.io", "io"])
def test_another_scope_does_not_accept_it(scope):
    with pytest.raises(ImageRefused, match="rejected by policy"):
        check(scoped(scope, ACCEPT), IMAGE, (DIGEST,), None)


def test_the_most_exact_scope_decides_and_all_of_it_must_hold():
    both = {"a.io": ACCEPT, "a.io/team": [*ACCEPT, *REJECT]}
    with pytest.raises(ImageRefused):
        check(Policy("p", {"default": ACCEPT, "transports": {"docker": both}}), IMAGE, (), None)


def test_what_cannot_be_checked_refuses():
    with pytest.raises(Unsupported, match="signedBy"):
        check(scoped("a.io", [{"type": "signedBy"}]), IMAGE, (DIGEST,), None)
    with pytest.raises(InvalidRequest, match="empty or missing"):
        check(scoped("a.io", []), IMAGE, (DIGEST,), None)


def test_the_users_policy_stands_before_the_systems(tmp_path):
    (tmp_path / "containers").mkdir()
    path = tmp_path / "containers" / "policy.json"
    path.write_text(json.dumps({"default": ACCEPT}))
    found = load({"XDG_CONFIG_HOME": str(tmp_path)})
    assert found is not None
    assert found.path == str(path)
    path.write_text("{")
    with pytest.raises(InvalidRequest, match=r"policy\.json is not a policy"):
        load({"XDG_CONFIG_HOME": str(tmp_path)})
    with pytest.raises(NotFound, match="no file /nope"):
        load({}, "/nope")


class Registry:
    """The signatures of one image, as a client finds them."""

    def __init__(self, *signatures: tuple[bytes, bytes]):
        self.blobs = {digest_of(payload): payload for payload, _ in signatures}
        layers = [
            {
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": digest_of(payload),
                "size": len(payload),
                "annotations": {
                    "dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()
                },
            }
            for payload, signature in signatures
        ]
        config = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 2}
        self.content = to_json({"schemaVersion": 2, "config": config, "layers": layers})

    def manifest(self, target):
        if target != DIGEST.replace(":", "-") + ".sig" or not self.blobs:
            raise NotFound("no signatures")
        return Fetched(
            self.content,
            parse_manifest(self.content),
            {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": len(self.content)},
        )

    def small_blob(self, descriptor):
        return self.blobs[descriptor["digest"]]


def payload(digest: str = DIGEST, name: str = "a.io/team/app:1") -> bytes:
    return to_json(
        {
            "critical": {
                "type": "cosign container image signature",
                "image": {"docker-manifest-digest": digest},
                "identity": {"docker-reference": name},
            }
        }
    )


@pytest.fixture
def keys():
    """Two key pairs: one signs, the policy knows the first."""
    pytest.importorskip("cryptography", reason="needs the extra sigstore")
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def signed(key, content: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    return content, key.sign(content, ec.ECDSA(SHA256()))


def requirement(key, **fields) -> list[dict[str, object]]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    data = base64.b64encode(pem).decode()
    return [{"type": "sigstoreSigned", "keyData": data, **fields}]


def test_a_signed_image_is_accepted(keys):
    registry = Registry(signed(keys[0], payload()))
    check(scoped("a.io", requirement(keys[0])), IMAGE, (DIGEST,), registry)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (payload(digest="sha256:" + "b" * 64), "a signature is for sha256:bbb"),
        (payload(name="a.io/team/other:1"), "for the name"),
        (payload(name="a.io/team/app:2"), "for the name"),
        (payload(name="a.io/team/app"), "for the name"),
        (b"{}", "not one of an image"),
        (b"\xff", "not one of an image"),
    ],
)
def test_a_signature_of_something_else_is_refused(keys, content, problem):
    registry = Registry(signed(keys[0], content))
    with pytest.raises(ImageRefused, match=problem):
        check(scoped("a.io", requirement(keys[0])), IMAGE, (DIGEST,), registry)


def test_a_signature_of_another_key_or_none_is_refused(keys):
    with pytest.raises(ImageRefused, match="of another key"):
        check(
            scoped("a.io", requirement(keys[0])),
            IMAGE,
            (DIGEST,),
            Registry(signed(keys[1], payload())),
        )
    with pytest.raises(ImageRefused, match="no signature"):
        check(scoped("a.io", requirement(keys[0])), IMAGE, (DIGEST,), Registry())


def test_the_identity_rule_says_which_name_counts(keys):
    registry = Registry(signed(keys[0], payload(name="a.io/team/app")))
    rule = {"type": "matchRepository"}
    check(scoped("a.io", requirement(keys[0], signedIdentity=rule)), IMAGE, (DIGEST,), registry)
    rule = {"type": "exactReference", "dockerReference": "a.io/team/app:9"}
    with pytest.raises(ImageRefused):
        check(scoped("a.io", requirement(keys[0], signedIdentity=rule)), IMAGE, (DIGEST,), registry)
    rule = {"type": "later"}
    with pytest.raises(Unsupported):
        check(scoped("a.io", requirement(keys[0], signedIdentity=rule)), IMAGE, (DIGEST,), registry)
