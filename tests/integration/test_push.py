"""Push: what goes up is what came down, and other tools read it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import oci
from tests.support.faulty_proxy import Fault, FaultyProxy

if TYPE_CHECKING:
    from tests.support.cli import Rootless
    from tests.support.images import Images
    from tests.support.podman import Podman

FAST = ("--retry", "3", "--retry-delay", "10ms")


def raw_manifest(reference: str) -> bytes:
    """The manifest as skopeo reads it."""
    return subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"],
        check=True,
        capture_output=True,
    ).stdout


@pytest.mark.parametrize("name", ["busybox", "busybox_zstd", "busybox_docker", "layered"])
def test_an_image_goes_up_byte_for_byte_as_it_came_down(
    rootless: Rootless, images: Images, name: str, tmp_path
):
    source = getattr(images, name)
    target = f"{images.registry.address}/again/{name}:1"
    rootless("pull", "-q", source)
    rootless("push", "-q", source, target, "--digestfile", str(tmp_path / "digest"))
    assert raw_manifest(target) == raw_manifest(source)
    assert (tmp_path / "digest").read_text() == oci.digest_of(raw_manifest(source))


def test_blobs_that_are_there_or_near_are_not_sent(rootless: Rootless, images: Images):
    rootless("pull", "-q", images.layered)
    target = f"{images.registry.address}/near/layered:1"
    first = rootless("push", images.layered, target)
    assert "mounted" in first.stderr
    assert "exists" in rootless("push", images.layered, target).stderr


def test_podman_skopeo_and_umoci_take_what_we_built_and_pushed(
    rootless: Rootless, images: Images, podman: Podman, tmp_path, needs_cgroup_delegation
):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.layered}\nRUN rm /data/kept && mkdir /new && echo made >/new/file\n"
        'RUN chown 7:8 /new/file && chmod 4711 /new/file && ln /new/file /linked\nCMD ["cat", "/linked"]\n'
    )
    for number, flags in enumerate(((), ("--compression-format", "zstd"))):
        target = f"{images.registry.address}/built/here:{number}"
        rootless("build", "-q", "-t", target, str(tmp_path))
        rootless("push", "-q", *flags, target)
        podman("pull", "-q", "--tls-verify=false", target)
        assert podman("run", "--rm", "--network", "none", target) == "made\n"
        script = "ls -ln /linked | cut -c1-20; ls /data /hidden"
        listed = podman("run", "--rm", "--network", "none", target, "sh", "-c", script)
        assert listed.split()[:2] == ["-rws--x--x", "2"]
        assert "kept" not in listed
        ours = rootless("run", "--rm", "--network", "none", target, "sh", "-c", script)
        assert ours.stdout == listed
        if number:
            continue  # umoci 0.4 knows no zstd
        copied = f"oci:{tmp_path}/layout:{number}"
        copy = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false"]
        subprocess.run([*copy, f"docker://{target}", copied], check=True, capture_output=True)
        place = str(tmp_path / f"unpacked{number}")
        unpack = ["umoci", "unpack", "--rootless", "--image", copied.removeprefix("oci:"), place]
        subprocess.run(unpack, check=True, capture_output=True)
        with open(f"{place}/rootfs/new/file", encoding="ascii") as file:
            assert file.read() == "made\n"


def test_all_tags_go_up_and_come_down(rootless: Rootless, fresh_rootless: Rootless, images: Images):
    rootless("pull", "-q", images.busybox)
    name = f"{images.registry.address}/tagged/busybox"
    for tag in ("1", "2"):
        rootless("tag", images.busybox, f"{name}:{tag}")
    rootless("push", "-q", "--all-tags", name)
    ids = fresh_rootless("pull", "-q", "--all-tags", name).stdout.split()
    assert len(ids) == 2
    listed = fresh_rootless("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert sorted(listed) == [f"{name}:1", f"{name}:2"]
    assert "without tag" in fresh_rootless.fails("pull", "--all-tags", f"{name}:1")


def test_layers_are_packed_anew_once_and_remembered(fresh_rootless: Rootless, images: Images):
    fresh_rootless("pull", "-q", images.busybox)
    target = f"{images.registry.address}/packed/busybox"
    first = fresh_rootless("push", images.busybox, f"{target}:1", "--compression-format", "zstd")
    assert "compressing" in first.stderr
    again = fresh_rootless("push", images.busybox, f"{target}:2", "--compression-format", "zstd")
    assert "compressing" not in again.stderr
    manifest = json.loads(raw_manifest(f"{target}:1"))
    assert [each["mediaType"] for each in manifest["layers"]] == [f"{oci.LAYER}+zstd"]
    assert raw_manifest(f"{target}:1") == raw_manifest(f"{target}:2")


def test_the_format_can_be_dockers(rootless: Rootless, images: Images):
    rootless("pull", "-q", images.busybox)
    target = f"{images.registry.address}/format/busybox:1"
    rootless("push", "-q", "--format", "v2s2", images.busybox, target)
    assert json.loads(raw_manifest(target))["mediaType"] == oci.DOCKER_MANIFEST


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/blobs/uploads/", method="POST", status=503, times=2),
        Fault("/blobs/uploads/", method="POST", reset=True, times=1),
        Fault("/blobs/uploads/", method="PUT", status=500, times=2),
        Fault("/blobs/uploads/", method="PUT", reset=True, times=2),
        Fault("/manifests/", method="PUT", status=502, times=2),
    ],
    ids=["post-503", "post-reset", "put-500", "put-reset", "manifest-502"],
)
def test_what_may_pass_is_tried_again(rootless: Rootless, images: Images, fault: Fault):
    rootless("pull", "-q", images.layered)
    with FaultyProxy(images.registry.address, fault) as proxy:
        name = f"faults/{fault.method.lower()}-{fault.status}-{fault.path.count('/')}:1"
        rootless("push", "-q", *FAST, images.layered, f"{proxy.address}/{name}")
        assert fault.times == 0
        assert raw_manifest(f"{images.registry.address}/{name}") == raw_manifest(images.layered)


def test_what_cannot_be_pushed_is_one_error(rootless: Rootless, images: Images):
    rootless("pull", "-q", images.busybox)
    for argv, words in (
        (("nosuchimage", "127.0.0.1:1/x"), "no image nosuchimage"),
        ((images.busybox, "localhost/x"), "is a local name"),
        ((images.busybox, "127.0.0.1:1/x"), "cannot reach 127.0.0.1:1"),
        ((images.busybox, "A/B"), "lower-case"),
    ):
        result = rootless("push", *FAST, *argv, check=False)
        assert result.exit_code == 125
        assert words in result.stderr


def test_what_is_signed_is_accepted_by_policy(rootless: Rootless, images: Images, tmp_path):
    pytest.importorskip("cryptography", reason="needs the extra sigstore")
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    subprocess.run(["openssl", "genpkey", *curve, "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    rootless("pull", "-q", images.busybox)
    signed = f"{images.registry.address}/signed/busybox:1"
    rootless("push", "-q", "--sign-by-sigstore-private-key", str(key), images.busybox, signed)

    containers = tmp_path / "containers"
    containers.mkdir()
    requirement = {"type": "sigstoreSigned", "keyPath": str(public)}
    (containers / "policy.json").write_text(json.dumps({"default": [requirement]}))
    policy = str(containers / "policy.json")
    rootless("pull", "-q", "--signature-policy", policy, signed)
    chosen = ("--signature-policy", policy, "--policy", "newer")
    assert rootless("pull", "-q", *chosen, signed).exit_code == 0
    said = rootless.fails("pull", "-q", "--signature-policy", policy, images.layered)
    assert "sign" in said
    assert "no file" in rootless.fails("pull", "--signature-policy", "/nowhere", images.layered)
    strict = {"XDG_CONFIG_HOME": str(tmp_path)}
    rootless("pull", "-q", signed, env=strict)
    refused = rootless("pull", "-q", images.busybox, env=strict, check=False)
    assert refused.exit_code == 125
    assert "not signed as policy asks" in refused.stderr or "no signature" in refused.stderr
