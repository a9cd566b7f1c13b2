"""Images of very many layers: mount(2) takes one page of options, and the kernel 500 layers."""

from __future__ import annotations

import os

import pytest

from rootless.rootfs import Rootfs
from rootless.runtime.mounted import in_rootfs
from rootless.userns.idmap import single
from tests.support import oci
from tests.support.images import SHELL_CONFIG, busybox_layer

LAYERS = 500  # what the kernel stacks; podman takes as many, docker 127


@pytest.fixture(scope="module")
def tall(images, tmp_path_factory) -> str:
    """An image in which each layer brings a file and changes another."""
    layout = oci.Layout(str(tmp_path_factory.mktemp("tall")))
    more = [
        oci.tar_of(
            oci.Entry(f"many/{number}", f"{number}\n".encode()),
            oci.Entry("last", f"{number}\n".encode()),
        )
        for number in range(1, LAYERS)
    ]
    descriptor = layout.image(
        busybox_layer(), *more, config=SHELL_CONFIG, compression="gzip",
        architecture=oci.host_architecture(),
    )  # fmt: skip
    return images.push(layout, descriptor, "tall:latest")


def test_five_hundred_directories_fit_into_a_page(tmp_path, needs_overlay):
    """The part that has a limit, without the pull."""
    lower = []
    for number in range(LAYERS):
        directory = tmp_path / f"a-name-that-is-long-enough-to-fill-a-page-soon-{number}"
        directory.mkdir()
        (directory / f"{number}").write_text("")
        lower.append(str(directory))
    rootfs = Rootfs("overlay", tuple(lower), options=("userxattr",))
    found = in_rootfs(
        rootfs,
        single(os.getuid(), os.getgid()),
        lambda root: len(os.listdir(f"/proc/self/fd/{root}")),
    )
    assert found == LAYERS


@pytest.mark.show
@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_five_hundred_layers_are_one_root(request, new_store, tall, driver):
    request.getfixturevalue("needs_overlay" if driver == "overlay" else "needs_fuse")
    rootless = new_store()
    rootless.environment["ROOTLESS_STORAGE_DRIVER"] = driver
    rootless("pull", "-q", tall)
    run = ("run", "--rm", "--network=none", tall, "sh", "-c")
    said = rootless(*run, "ls /many | wc -l; cat /last; echo x > /many/1; cat /many/1").stdout
    assert said.split() == [str(LAYERS - 1), str(LAYERS - 1), "x"]


@pytest.mark.show
def test_a_build_on_five_hundred_layers(new_store, tall, tmp_path, needs_overlay):
    """The kernel takes that many and not one more, and the error says what takes it instead."""
    rootless = new_store()
    rootless("pull", "-q", tall)
    mount = f"--mount=from={tall},source=/many,target=/m"
    (tmp_path / "Dockerfile").write_text(f"FROM {tall}\nRUN {mount} ls /m | wc -l > /count\n")
    build = ("build", "-q", "--pull=never", "-t", "built")
    run = ("run", "--rm", "--network=none", "built", "cat", "/count")
    rootless(*build, str(tmp_path))
    said = rootless.fails(*run)
    assert f"stacks {LAYERS} layers, and this image has {LAYERS + 1}" in said
    assert "ROOTLESS_STORAGE_DRIVER=fuse-overlayfs" in said and "--squash-all" in said
    other = {"ROOTLESS_STORAGE_DRIVER": "fuse-overlayfs"}
    assert rootless(*run, env=other).stdout.strip() == str(LAYERS - 1)
    rootless(*build, "--squash-all", str(tmp_path))
    assert rootless(*run).stdout.strip() == str(LAYERS - 1)
