"""The example that everything began with, word for word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.support.cli import CHECKOUT

EXAMPLE = f"{CHECKOUT}/docs/examples/hello-world/Dockerfile"


@pytest.fixture
def folder(tmp_path):
    shutil.copy(EXAMPLE, tmp_path / "Dockerfile")
    return tmp_path


def test_the_example_is_the_two_lines():
    with open(EXAMPLE, encoding="utf-8") as file:
        assert file.read() == 'FROM alpine:latest\nCMD ["echo", "Hello, World!"]\n'


def test_hello_world_from_a_registry(fresh_rootless, folder):
    fresh_rootless("build", "-t", "hello-world-app", ".", cwd=folder)
    result = fresh_rootless("run", "hello-world-app")
    assert (result.stdout, result.stderr) == ("Hello, World!\n", "")


def test_a_second_build_is_cached(fresh_rootless, folder):
    fresh_rootless("build", "-t", "hello-world-app", ".", cwd=folder)
    first = fresh_rootless("images", "-q", "hello-world-app").stdout
    fresh_rootless("build", "-t", "hello-world-app", ".", cwd=folder)
    assert fresh_rootless("images", "-q", "hello-world-app").stdout == first


@pytest.mark.parametrize("scheme", ["docker-image", "container-image"])
def test_hello_world_on_files_of_this_host(fresh_rootless, folder, scheme):
    fresh_rootless.environment["CONTAINERS_REGISTRIES_CONF"] = "/dev/null"
    fresh_rootless("image", "bootstrap", "-t", "localhost/host-base")
    context = f"alpine:latest={scheme}://localhost/host-base"
    fresh_rootless("build", "--build-context", context, "-t", "hello-world-app", ".", cwd=folder)
    assert fresh_rootless("run", "--rm", "hello-world-app").stdout == "Hello, World!\n"
    shown = fresh_rootless("run", "--rm", "hello-world-app", "cat", "/etc/os-release").stdout
    assert "alpine" not in shown.lower()
    assert "alpine" not in fresh_rootless("images").stdout


def test_the_image_is_an_oci_image_for_others(
    fresh_rootless, folder, needs_skopeo, needs_umoci, tmp_path
):
    fresh_rootless("build", "-t", "hello-world-app", ".", cwd=folder)
    layout = f"{fresh_rootless.home}/data/images"
    names = [
        entry["annotations"]["org.opencontainers.image.ref.name"]
        for entry in json.loads((open(f"{layout}/index.json", "rb")).read())["manifests"]  # noqa: SIM115 - one line
        if "hello-world-app" in str(entry.get("annotations"))
    ]
    copy = str(tmp_path / "copy")
    source = f"oci:{layout}:{names[0]}"
    done = subprocess.run(
        ["skopeo", "copy", "--insecure-policy", "-q", source, f"oci:{copy}:hello"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    unpack = ["umoci", "unpack", "--rootless", "--image", f"{copy}:hello", str(tmp_path / "bundle")]
    done = subprocess.run(unpack, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    assert config["process"]["args"] == ["echo", "Hello, World!"]


def test_podman_runs_what_we_built(
    fresh_rootless, folder, needs_cgroup_delegation, registry, podman
):
    """crun refuses a hybrid of cgroup v1 and v2."""
    fresh_rootless("build", "-t", "hello-world-app", ".", cwd=folder)
    target = f"{registry.address}/hello-{os.getpid()}:latest"
    fresh_rootless("tag", "hello-world-app", target)
    fresh_rootless("push", "-q", target)
    assert (
        podman("run", "--rm", "--network", "none", "--tls-verify=false", target)
        == "Hello, World!\n"
    )


def test_explain_prints_the_plan_and_runs_nothing(rootless, busybox, tmp_path):
    line = ("run", "--explain", "--network", "none", "-v", f"{tmp_path}:/mnt", busybox)
    shown = rootless(*line, "touch", "/mnt/made").stdout
    assert not (tmp_path / "made").exists()
    words = (
        "uid",
        "namespace",
        "overlay",
        "/proc",
        str(tmp_path),
        "capabilities",
        "seccomp",
        "touch",
    )
    for word in words:
        assert word in shown.lower(), word
    assert str(os.getuid()) in shown
    assert rootless("ps", "-aq").stdout == ""


def test_info_says_what_was_probed_and_chosen(rootless):
    shown = rootless("info").stdout
    document = json.loads(rootless("info", "--format", "json").stdout)
    assert "overlay" in shown or "vfs" in shown
    assert isinstance(document, dict) and document


def test_reset_removes_everything_whoever_owns_it(fresh_rootless, images):
    fresh_rootless("run", "--network", "none", images.layered, "sh", "-c", "chown 7 /data/kept")
    fresh_rootless("system", "reset", "--force")
    left = [path for path, _, files in os.walk(fresh_rootless.home) for _ in files]
    assert [path for path in left if "xdg-config" not in path] == []


def test_unshare_shows_files_as_root_inside_sees_them(fresh_rootless, images):
    fresh_rootless("pull", "-q", images.layered)
    find = f"find {fresh_rootless.home}/data/layers -name owned -exec stat -c %u {{}} ;"
    assert fresh_rootless("unshare", *find.split()).stdout == "1000\n"
