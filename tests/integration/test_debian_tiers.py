"""Debian with a package that apt installs is built and run on every tier and with every driver."""

from __future__ import annotations

import os
import sys

import pytest

from tests.conftest import require
from tests.support import debian_package
from tests.support.cli import CHECKOUT
from tests.support.places import WORLDS, path_without

DOCKERFILE = """
FROM {}
COPY make /make
RUN sh /make && rm -r /p && apt-get install -y /thing.deb
USER thing
CMD ["sh", "-c", "id -un; stat -c %U:%G:%a /srv/thing /usr/bin/as-thing"]
"""
SAID = "thing\nthing:thing:755\nthing:adm:4750\n"


@pytest.fixture(scope="module")
def context(images, tmp_path_factory) -> str:
    require("mmdebstrap")
    directory = tmp_path_factory.mktemp("context")
    (directory / "Dockerfile").write_text(DOCKERFILE.format(images.debian))
    (directory / "make").write_text(debian_package.MAKE)
    return str(directory)


@pytest.fixture(scope="module")
def store(new_store, images, context):
    """One store for all: the blobs are pulled once, and unpacked in each form."""
    rootless = new_store()
    rootless("pull", "-q", images.debian, timeout_s=300)
    return rootless


@pytest.fixture
def host(store):
    command, environment = store.command, dict(store.environment)
    yield store
    store.command, store.environment = command, environment


def build_and_run(rootless, context, *, network=("--network", "none")):
    rootless("build", "-q", "--no-cache", *network, "-t", "built", context, timeout_s=300)
    said = rootless("run", "--name", "it", *network, "built", timeout_s=120).stdout
    tier = rootless("inspect", "it", "-f", "{{.Backends.tier}} {{.Backends.storage}}").stdout
    rootless("rm", "it")
    assert said == SAID
    return tuple(tier.split())


@pytest.mark.parametrize(
    "driver", ["overlay", "fuse-overlayfs", pytest.param("vfs", marks=pytest.mark.show)]
)
def test_with_each_driver(driver, host, context, needs_subids):
    if driver != "vfs":
        require({"overlay": "overlay", "fuse-overlayfs": "fuse"}[driver])
    host.environment["ROOTLESS_STORAGE_DRIVER"] = driver
    assert build_and_run(host, context) == ("full", driver)


def test_without_newuidmap(host, context, tmp_path):
    host.environment["PATH"] = path_without(str(tmp_path / "bin"), "newuidmap", "newgidmap")
    assert build_and_run(host, context)[0] == "single-id"


@pytest.mark.parametrize("tier", ["shared-proc", "shared-network"])
def test_with_less(tier, host, context, needs_subids):
    host.command = (*WORLDS[tier], *host.command)
    network = () if tier == "shared-network" else ("--network", "none")
    assert build_and_run(host, context, network=network)[0] == tier


@pytest.mark.network
@pytest.mark.show
@pytest.mark.parametrize(
    "tier", ["overlay", "fuse-overlayfs", "vfs", "single-id", "shared-proc", "shared-network"]
)
def test_packages_of_a_mirror(tier, host, images, tmp_path, needs_subids):
    """``apt-get update && apt-get install`` with the network, on every tier and with every driver."""
    update = "apt-get update && apt-get install --yes --no-install-recommends tree"
    (tmp_path / "Dockerfile").write_text(f"FROM {images.debian}\nRUN {update}\n")
    if tier == "single-id":
        host.environment["PATH"] = path_without(str(tmp_path / "bin"), "newuidmap", "newgidmap")
    elif tier in WORLDS:
        host.command = (*WORLDS[tier], *host.command)
    else:
        host.environment["ROOTLESS_STORAGE_DRIVER"] = tier
    host("build", "-q", "--no-cache", "-t", "packages", str(tmp_path), timeout_s=600)
    said = host("run", "--rm", "packages", "tree", "--version", timeout_s=120).stdout
    assert said.startswith("tree v")


# -- inside another container -------------------------------------------------------------------


def inside(outer, image, rootless, context):
    """The command line in a container that sees the host's programs and the store."""
    configuration = rootless.environment["CONTAINERS_REGISTRIES_CONF"]
    ours = {sys.prefix, sys.base_prefix, os.path.dirname(sys.executable), CHECKOUT}
    shown = {"/usr", "/lib", "/lib64", "/etc/ssl", *ours, context, configuration}
    binds = [f"-v={path}:{path}:ro" for path in sorted(shown) if os.path.exists(path)]
    kept = ("PATH", "LANG", "PYTHONPATH", "ROOTLESS_HOME", "CONTAINERS_REGISTRIES_CONF")
    given = [f"-e={name}={rootless.environment[name]}" for name in kept]
    store = f"-v={rootless.home}:{rootless.home}"
    return (*outer, *binds, store, *given, image, *rootless.command)


def test_inside_a_container_of_ours(host, context, images, rootless, busybox):
    """Its /proc is masked and read-only, and it may make namespaces, as it was told to."""
    outer = (
        *rootless.command,
        "run",
        "--rm",
        "--network=host",
        "--security-opt=seccomp=unconfined",
    )
    command = inside(("env", f"ROOTLESS_HOME={rootless.home}", *outer), busybox, host, context)
    host.command = command
    assert build_and_run(host, context) == ("shared-proc", "overlay")


def test_inside_a_container_of_podman(host, context, podman, images):
    """With podman's defaults: masks, and a filter that knows neither host names nor mounts of ours."""
    podman("pull", "-q", "--tls-verify=false", images.busybox)
    host.environment.update(podman.environment)
    outer = ("podman", "run", "--rm", "--network=host")
    host.command = inside(outer, images.busybox, host, context)
    assert build_and_run(host, context) == ("shared-proc", "overlay")
    said = host.fails("run", "--rm", "--network=none", "--hostname=mine", "built")
    assert "host name" in said and "doctor" in said
