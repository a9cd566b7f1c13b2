"""Images of very many layers: mount(2) takes one page of options."""

from __future__ import annotations

import os

import pytest

from rootless.rootfs import Rootfs
from rootless.runtime.mounted import in_rootfs
from rootless.userns.idmap import single
from tests.support import oci
from tests.support.images import SHELL_CONFIG, busybox_layer

LAYERS = 200  # docker stops at 127, podman at 500 and the kernel too


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


def test_two_hundred_directories_fit_into_a_page(tmp_path, needs_overlay):
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
def test_two_hundred_layers_are_one_root(request, new_store, tall, driver):
    request.getfixturevalue("needs_overlay" if driver == "overlay" else "needs_fuse")
    rootless = new_store()
    rootless.environment["ROOTLESS_STORAGE_DRIVER"] = driver
    rootless("pull", "-q", tall)
    run = ("run", "--rm", "--network=none", tall, "sh", "-c")
    said = rootless(*run, "ls /many | wc -l; cat /last; echo x > /many/1; cat /many/1").stdout
    assert said.split() == [str(LAYERS - 1), str(LAYERS - 1), "x"]


@pytest.mark.show
def test_a_build_on_two_hundred_layers(new_store, tall, tmp_path):
    rootless = new_store()
    rootless("pull", "-q", tall)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {tall} AS one\nRUN rm /many/1\nFROM {tall}\n"
        "RUN --mount=from=one,source=/many,target=/m ls /m | wc -l > /count\n"
    )
    rootless("build", "-q", "--pull=never", "-t", "built", str(tmp_path))
    said = rootless("run", "--rm", "--network=none", "built", "cat", "/count").stdout
    assert said.strip() == str(LAYERS - 2)
