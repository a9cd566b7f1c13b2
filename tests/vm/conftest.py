"""Fixtures of the tests that run inside the throw-away machine (scripts/vm test)."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable

import pytest

from tests.support import oci
from tests.support.cli import Rootless, remove_as_owner
from tests.support.images import SHELL_CONFIG, busybox_layer

IMAGE = "localhost/busybox:latest"
# What is done after the search for what tests have left, because it is left on purpose.
LAST_STEPS = pytest.StashKey[list[Callable[[], None]]]()


def pytest_unconfigure(config):
    for step in config.stash.get(LAST_STEPS, []):
        step()


def pytest_collection_modifyitems(items):
    if os.environ.get("ROOTLESS_TEST_MACHINE"):
        return
    for item in items:
        if item.nodeid.startswith("tests/vm/"):
            item.add_marker(
                pytest.mark.skip(reason="runs in the throw-away machine: scripts/vm test")
            )


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    """The command line with busybox in its store; there is no registry in the machine."""
    directory = tmp_path_factory.mktemp("image")
    layout = oci.Layout(str(directory / "layout"))
    layout.tag(IMAGE, layout.image(busybox_layer(), config=SHELL_CONFIG))
    archive = directory / "busybox.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("oci-layout", "index.json", "blobs"):
            file.add(directory / "layout" / name, arcname=name)
    rootless = Rootless(str(tmp_path_factory.mktemp("home")))
    rootless("load", "-q", "-i", str(archive))
    yield rootless
    remove_as_owner(rootless.home)
