"""Rows 15 to 18: registries that lie about sizes, digests and types, or want credentials of others."""

from __future__ import annotations

import base64
import gzip
import json
import os
import resource
import zlib
from typing import TYPE_CHECKING

import pytest

from tests.support import oci
from tests.support.hostile_registry import Answer, HostileRegistry
from tests.support.images import busybox_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.cli import Rootless

MIB = 1 << 20


@pytest.fixture
def hostile() -> Iterator[HostileRegistry]:
    registry = HostileRegistry()
    yield registry
    registry.close()


@pytest.fixture
def client(new_store: Callable[[], Rootless]) -> Rootless:
    """A store of its own, so that what is left behind shows."""
    return new_store()


def refused(
    client: Rootless, hostile: HostileRegistry, name: str = "evil", **options: object
) -> str:
    """Pull fails in one sentence and leaves no image and no part of one."""
    said = client.fails("pull", "-q", f"{hostile.address}/{name}:latest", **options)
    assert len(said.splitlines()) <= 3, said
    for directory, _, names in os.walk(f"{client.home}/data"):
        assert "blobs/sha256" not in directory or names == [], f"{directory} {names}"
    assert client("images", "-q").stdout == ""
    scratch = f"{client.home}/data/scratch"
    assert not os.path.isdir(scratch) or os.listdir(scratch) == []
    layers = f"{client.home}/data/layers"
    for form in os.listdir(layers) if os.path.isdir(layers) else ():
        assert os.listdir(f"{layers}/{form}") == []
    return said


def test_a_good_image_of_this_registry_is_accepted(client: Rootless, hostile: HostileRegistry):
    hostile.image("good", busybox_layer())
    client("pull", "-q", f"{hostile.address}/good:latest")
    client("run", "--rm", "--network=none", f"{hostile.address}/good:latest", "true")


def endless(chunk: bytes = b" " * 65536) -> Iterator[bytes]:
    """More than anybody should read; ends, so that a failing test does."""
    for _ in range(4096):
        yield chunk


def test_row_15_reading_stops_at_the_announced_size(client: Rootless, hostile: HostileRegistry):
    layer = busybox_layer()
    manifest = hostile.image("evil", layer)
    digest = manifest["layers"][0]["digest"]
    sent = []

    def body() -> Iterator[bytes]:
        yield layer
        for chunk in endless():
            sent.append(len(chunk))
            yield chunk

    for length in (None, len(layer) + 256 * MIB):
        sent.clear()
        hostile.answers[f"/v2/evil/blobs/{digest}"] = Answer(body, length=length)
        client.fails("pull", "-q", f"{hostile.address}/evil:latest")
        assert sum(sent) < 16 * MIB  # what sockets and buffers hold


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
@pytest.mark.parametrize("change", ["shorter", "longer", "different"])
def test_row_15_content_that_is_not_what_was_announced(
    client: Rootless, hostile: HostileRegistry, part: str, change: str
):
    manifest = hostile.image("evil", busybox_layer())
    descriptor = {"layer": manifest["layers"][0], "config": manifest["config"]}.get(part)
    if descriptor is not None:
        path = f"/v2/evil/blobs/{descriptor['digest']}"
    else:  # the digest that the header of the answer promises
        path = "/v2/evil/manifests/latest"
    answer = hostile.answers[path]
    assert isinstance(answer.body, bytes)
    body = {
        "shorter": answer.body[:-1],
        "longer": answer.body + b" ",
        "different": answer.body[:-20] + b" " + answer.body[-19:],
    }[change]
    hostile.answers[path] = answer._replace(body=body)
    if part == "manifest" and change != "shorter":
        path = f"/v2/evil/manifests/{oci.digest_of(answer.body)}"
        hostile.answers[path] = answer._replace(body=body)
        client.fails("pull", "-q", f"{hostile.address}/evil@{oci.digest_of(answer.body)}")
    refused(client, hostile)


@pytest.mark.parametrize("part", ["manifest", "index", "config"])
def test_row_15_documents_are_small(client: Rootless, hostile: HostileRegistry, part: str):
    """CVE-2023-25153: a manifest of hundreds of MiB; more than 4 MiB is never read."""
    read = []

    def body() -> Iterator[bytes]:
        yield b"{"
        for chunk in endless():
            read.append(len(chunk))
            yield chunk

    if part == "config":
        config = b"{" + b" " * (5 * MIB) + b"}"
        hostile.image("evil", busybox_layer(), config=config)
    else:
        kind = oci.MANIFEST if part == "manifest" else oci.INDEX
        headers = (("Content-Type", kind),)
        hostile.answers["/v2/evil/manifests/latest"] = Answer(body, headers=headers)
    refused(client, hostile)
    assert sum(read) < 24 * MIB


def test_row_15_a_small_announcement_of_a_large_config_is_refused(
    client: Rootless, hostile: HostileRegistry
):
    hostile.image("evil", busybox_layer())
    manifest = json.loads(hostile.answers["/v2/evil/manifests/latest"].body)
    manifest["config"]["size"] = 10**15
    hostile.manifest("evil", oci.encode(manifest), oci.MANIFEST)
    refused(client, hostile)


def _bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(MIB)
    return b"".join([*(packer.compress(zeros) for _ in range(mebibytes)), packer.flush()])


def test_row_15_a_compression_bomb_is_stopped(client: Rootless, hostile: HostileRegistry):
    """512 MiB of zeros in half a megabyte: no archive, so nothing is written and little memory is used."""
    layer = hostile.blob("evil", _bomb(512), f"{oci.LAYER}+gzip")
    hostile.image("evil", manifest_changes={"layers": [layer]})

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 * MIB, 400 * MIB))

    argv = ("pull", "-q", f"{hostile.address}/evil:latest")
    process = client.start(*argv, preexec_fn=little_memory)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 125, errors.decode()
    assert b"memory" not in errors.lower()
    refused(client, hostile, timeout_s=60)


def test_row_15_a_file_larger_than_its_archive_says_is_refused(
    client: Rootless, hostile: HostileRegistry
):
    archive = oci.tar_of(oci.Entry("f", b"x" * 2000))
    content = gzip.compress(archive[:1500])
    layer = hostile.blob("evil", content, f"{oci.LAYER}+gzip")
    hostile.image("evil", manifest_changes={"layers": [layer]})
    refused(client, hostile)


DIGESTS = [
    "sha256:../../../../../../../../tmp/evil",
    "sha256:" + "a" * 63 + "/",
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 65,
    "sha256:",
    "../../evil",
    "md5:" + "a" * 32,
    "sha256:" + "a" * 62 + "\n" + "a",
    "sha256/../x:" + "a" * 64,
    "sha256:" + "a" * 64 + "/../../x",
    7,
    None,
]


@pytest.mark.parametrize("digest", DIGESTS, ids=repr)
@pytest.mark.parametrize("part", ["layer", "config", "manifest", "diff_id"])
def test_row_16_digests_are_digests_before_they_are_paths(
    client: Rootless, hostile: HostileRegistry, part: str, digest: object
):
    layer = busybox_layer()
    manifest = hostile.image("evil", layer)
    if part == "manifest":
        entry = {"mediaType": oci.MANIFEST, "digest": digest, "size": 10}
        entry["platform"] = {"architecture": oci.host_architecture(), "os": "linux"}
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}
        hostile.manifest("evil", oci.encode(index), oci.INDEX)
    elif part == "diff_id":
        config = {
            "architecture": oci.host_architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
        hostile.image("evil", layer, config=oci.encode(config))
    else:
        target = manifest["layers"][0] if part == "layer" else manifest["config"]
        target["digest"] = digest
        hostile.manifest("evil", oci.encode(manifest), oci.MANIFEST)
    refused(client, hostile)
    assert not os.path.exists("/tmp/evil")


def test_row_16_names_and_tags_are_no_paths(client: Rootless, hostile: HostileRegistry):
    for name in ("../evil", "a/../../b", "evil:..", "evil:a/b", "evil@sha256:../x", "EVIL", "a//b"):
        client.fails("pull", "-q", f"{hostile.address}/{name}")
    assert hostile.requests == []


def test_row_17_a_document_is_one_thing(client: Rootless, hostile: HostileRegistry):
    """CVE-2021-41190: manifest and index at once, read differently by different tools."""
    manifest = hostile.image("evil", busybox_layer())
    entry = {"mediaType": oci.MANIFEST, "digest": "sha256:" + "a" * 64, "size": 10}
    for media_type in (oci.MANIFEST, oci.INDEX, oci.DOCKER_MANIFEST):
        for said in ({"mediaType": media_type}, {}):
            both = {**manifest, "manifests": [entry], **said}
            if not said:
                both.pop("mediaType")
            hostile.manifest("evil", oci.encode(both), media_type)
            refused(client, hostile)


def test_row_17_the_type_agrees_with_the_content(client: Rootless, hostile: HostileRegistry):
    manifest = hostile.image("evil", busybox_layer())
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []}
    for document, media_type in (
        (manifest, oci.INDEX),
        (manifest, oci.DOCKER_MANIFEST),
        (index, oci.MANIFEST),
        ({**manifest, "mediaType": oci.INDEX}, oci.MANIFEST),
        ({**index, "mediaType": oci.MANIFEST}, oci.INDEX),
    ):
        hostile.manifest("evil", oci.encode(document), media_type)
        refused(client, hostile)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"schemaVersion": 1}',
        b'{"schemaVersion": 2}',
        b'{"schemaVersion": 2, "config": 1, "layers": 2}',
        b'{"schemaVersion": 2, "config": {}, "layers": [[]]}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b'{"schemaVersion": 1e400}',
        b'{"schemaVersion": NaN}',
        b'{"schemaVersion": ' + b"9" * 10_000 + b"}",
        b'{"layers": "\\ud800"}',
    ],
    ids=lambda content: repr(content[:24]),
)
@pytest.mark.parametrize("part", ["manifest", "config"])
def test_row_17_documents_that_are_none(
    client: Rootless, hostile: HostileRegistry, part: str, content: bytes
):
    if part == "manifest":
        hostile.manifest("evil", content, oci.MANIFEST)
    else:
        hostile.image("evil", busybox_layer(), config=content or b" ")
    refused(client, hostile)


# Row 18: who gets to see the password.

PASSWORD = "s3cret-password"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture
def elsewhere() -> Iterator[HostileRegistry]:
    """Another host: another address."""
    registry = HostileRegistry("127.0.0.2")
    yield registry
    registry.close()


@pytest.fixture
def logged_in(client: Rootless, hostile: HostileRegistry, tmp_path: Path) -> Rootless:
    """The client knows a password, for the first registry only."""
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {hostile.address: {"auth": BASIC}}}))
    path.chmod(0o600)
    client.environment["REGISTRY_AUTH_FILE"] = str(path)
    return client


def credentials_seen(registry: HostileRegistry) -> list[str]:
    seen = [each.headers.get("Authorization", "") for each in registry.requests]
    urls = [each.path for each in registry.requests if PASSWORD in each.path]
    return [each for each in seen if each] + urls


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("part", ["blob", "manifest", "v2"])
def test_row_18_a_redirect_takes_no_credentials_along(
    logged_in: Rootless,
    hostile: HostileRegistry,
    elsewhere: HostileRegistry,
    part: str,
    status: int,
):
    layer = busybox_layer()
    manifest = hostile.image("evil", layer)
    hostile.challenge = 'Basic realm="here"'
    path = {
        "blob": f"/v2/evil/blobs/{manifest['layers'][0]['digest']}",
        "manifest": "/v2/evil/manifests/latest",
        "v2": "/v2/",
    }[part]
    elsewhere.answers["/moved"] = hostile.answers[path]
    location = (("Location", f"http://{elsewhere.address}/moved"),)
    hostile.answers[path] = Answer(b"", status, location)
    logged_in("pull", "-q", f"{hostile.address}/evil:latest", check=False)
    assert credentials_seen(elsewhere) == []
    assert any(BASIC in each for each in credentials_seen(hostile))


def test_row_18_a_token_server_elsewhere_gets_no_password(
    logged_in: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry
):
    """CVE-2020-15157: the challenge names a realm of the attacker's."""
    hostile.image("evil", busybox_layer())
    token = oci.encode({"token": "t0ken", "access_token": "t0ken"})
    elsewhere.answers["/token"] = Answer(token)
    hostile.challenge = f'Bearer realm="http://{elsewhere.address}/token",service="evil",scope="x"'
    logged_in("pull", "-q", f"{hostile.address}/evil:latest", check=False)
    assert credentials_seen(elsewhere) == []
    assert not any(PASSWORD in str(each) or BASIC in str(each) for each in elsewhere.requests)


def test_row_18_foreign_layers_are_fetched_from_nowhere_else(
    logged_in: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry
):
    layer = busybox_layer()
    elsewhere.answers["/layer"] = Answer(layer)
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "digest": oci.digest_of(layer),
        "size": len(layer),
        "urls": [f"http://{elsewhere.address}/layer"],
    }
    hostile.image("evil", layer, manifest_changes={"layers": [foreign]})
    hostile.challenge = 'Basic realm="here"'
    logged_in("pull", "-q", f"{hostile.address}/evil:latest", check=False)
    assert credentials_seen(elsewhere) == []


def test_row_18_other_registries_and_mirrors_get_nothing(
    logged_in: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry
):
    elsewhere.challenge = 'Basic realm="give me"'
    logged_in("pull", "-q", f"{elsewhere.address}/evil:latest", check=False)
    assert credentials_seen(elsewhere) == []
    assert elsewhere.requests


def test_row_18_a_push_that_is_sent_elsewhere_takes_nothing_along(
    logged_in: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry
):
    """The registry chooses where uploads go: the layer may follow, the credentials may not."""
    hostile.image("evil", busybox_layer())
    logged_in("pull", "-q", f"{hostile.address}/evil:latest")
    hostile.challenge = 'Basic realm="here"'
    for answer in (
        Answer(b"", 202, (("Location", f"http://{elsewhere.address}/upload?state=1"),)),
        Answer(b"", 307, (("Location", f"http://{elsewhere.address}/v2/evil/blobs/uploads/"),)),
    ):
        hostile.answers["/v2/evil/blobs/uploads/"] = answer
        hostile.answers = {
            path: each for path, each in hostile.answers.items() if "sha256" not in path
        }
        elsewhere.challenge = 'Basic realm="and here"'
        logged_in("push", "-q", f"{hostile.address}/evil:latest", check=False, timeout_s=60)
    assert any(BASIC in each for each in credentials_seen(hostile))
    assert elsewhere.requests  # the layer did go there
    assert credentials_seen(elsewhere) == []
    assert not any(PASSWORD in str(each) or BASIC in str(each) for each in elsewhere.requests)


def test_row_18_a_token_is_for_the_registry_only(
    logged_in: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry
):
    """A bearer token is a credential too, also where the registry made it itself."""
    layer = busybox_layer()
    manifest = hostile.image("evil", layer)
    hostile.answers["/token"] = Answer(oci.encode({"token": "t0ken-of-mine"}))
    hostile.challenge = f'Bearer realm="http://{hostile.address}/token",service="s"'
    blob = f"/v2/evil/blobs/{manifest['layers'][0]['digest']}"
    elsewhere.challenge = f'Bearer realm="http://{elsewhere.address}/token",service="s"'
    location = (("Location", f"http://{elsewhere.address}/v2/evil/x"),)
    hostile.answers[blob] = Answer(b"", 307, location)
    logged_in("pull", "-q", f"{hostile.address}/evil:latest", check=False)
    assert any("t0ken-of-mine" in each for each in credentials_seen(hostile))
    assert elsewhere.requests
    assert credentials_seen(elsewhere) == []
    # Nor does the challenge of that other host make us ask its token server.
    assert not [each for each in elsewhere.requests if each.path.startswith("/token")]


def test_row_18_a_refresh_token_is_posted_to_nobody_else(
    client: Rootless, hostile: HostileRegistry, elsewhere: HostileRegistry, tmp_path: Path
):
    path = tmp_path / "auth.json"
    entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": PASSWORD}
    path.write_text(json.dumps({"auths": {hostile.address: entry}}))
    path.chmod(0o600)
    client.environment["REGISTRY_AUTH_FILE"] = str(path)
    hostile.image("evil", busybox_layer())
    for realm in (
        f"http://{elsewhere.address}/token",
        f"http://{hostile.address}@{elsewhere.address}/token",
        f"http://{elsewhere.address}/token?x=http://{hostile.address}/",
        f"http://{hostile.address}.{elsewhere.address}/token",
        f"//{elsewhere.address}/token",
    ):
        hostile.challenge = f'Bearer realm="{realm}",service="s",scope="repository:evil:pull"'
        client("pull", "-q", f"{hostile.address}/evil:latest", check=False)
    assert not any(PASSWORD in str(each) for each in elsewhere.requests)
    assert not any(PASSWORD in str(each) for each in hostile.requests)


def test_row_18_a_password_appears_nowhere(
    logged_in: Rootless, hostile: HostileRegistry, tmp_path: Path
):
    hostile.image("evil", busybox_layer())
    hostile.challenge = 'Basic realm="here"'
    name = f"{hostile.address}/evil:latest"
    said = [logged_in("pull", name)]
    said += [
        logged_in(*argv) for argv in (("image", "inspect", name), ("history", name), ("info",))
    ]
    said.append(logged_in("create", "--network=none", name, "true"))
    for each in said:
        assert PASSWORD not in str(each)
        assert BASIC not in str(each)
    for directory, _, names in os.walk(logged_in.home):
        for each in names:
            file = f"{directory}/{each}"
            if os.path.isfile(file) and not os.path.islink(file):
                try:
                    with open(file, "rb") as opened:
                        content = opened.read()
                except PermissionError:
                    continue
                assert PASSWORD.encode() not in content, file
                assert BASIC.encode() not in content, file


def test_row_18_plain_http_is_for_loopback_only(client: Rootless, tmp_path: Path):
    """A name that is not loopback and not configured as insecure is only ever asked by TLS."""
    (tmp_path / "empty.conf").write_text("")
    environment = {"CONTAINERS_REGISTRIES_CONF": str(tmp_path / "empty.conf")}
    said = client.fails("pull", "-q", "registry.invalid/evil:latest", env=environment, timeout_s=60)
    assert "http://" not in said.replace("https://", "")
