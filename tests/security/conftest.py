"""Real images and processes that attack: ``inside`` runs Python in a container, ``evil`` makes an image."""

from __future__ import annotations

import copy
import itertools
import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import oci
from tests.support.images import SHELL_CONFIG, busybox_layer
from tests.support.python_image import python_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cli import Rootless
    from tests.support.images import Images

PRELUDE = "import sys; sys.path.insert(0, '/attack')\nfrom attack import *\n"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def probe(rootless: Rootless, images: Images) -> str:
    """An image with Python, in the shared store."""
    reference = python_image(images)
    rootless("pull", "-q", reference, timeout_s=300)
    return reference


class Inside:
    """Runs attack code in a container and gives what it reported."""

    def __init__(self, rootless: Rootless, image: str):
        self.rootless = rootless
        self.image = image

    def __call__(self, code: str, *options: str, image: str = "", **run: Any) -> dict[str, Any]:
        """``run`` with ``options``; the last line that the code reported."""
        result = self.rootless(*self.argv(code, *options, image=image), **run)
        answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return answer

    def argv(self, code: str, *options: str, image: str = "") -> tuple[str, ...]:
        """The command line of such a run."""
        if not any(each.startswith("--network") for each in options):
            options = ("--network=none", *options)
        return ("run", "--rm", *options, image or self.image, *self.program(code))

    def called_by(self, *prefix: str) -> Inside:
        """The same with ``prefix`` before the command."""
        rootless = copy.copy(self.rootless)
        rootless.command = (*prefix, *rootless.command)
        return Inside(rootless, self.image)

    @staticmethod
    def program(code: str) -> tuple[str, ...]:
        """What to execute in a container of the probe image."""
        return ("python3", "-I", "-S", "-c", PRELUDE + textwrap.dedent(code))


@pytest.fixture(scope="session")
def inside(rootless: Rootless, probe: str) -> Inside:
    """Attack code in a fresh container."""
    return Inside(rootless, probe)


@pytest.fixture(scope="session")
def evil(rootless: Rootless, images: Images) -> Callable[..., str]:
    """``evil(entries..., config={...})``: busybox with one more layer and another config, not pulled yet."""

    def make(
        *entries: oci.Entry,
        config: oci.Document | None = None,
        layers: tuple[bytes, ...] = (),
        base: tuple[bytes, ...] = (),
        changes: oci.Document | None = None,
    ) -> str:
        layout = oci.Layout(f"{images.directory}/evil-{next(_numbers)}")
        more = (oci.tar_of(*entries),) if entries else ()
        descriptor = layout.image(
            *(base or (busybox_layer(),)),
            *more,
            *layers,
            config={**SHELL_CONFIG, **(config or {})},
            compression="none",
            changes=changes,
            architecture=oci.host_architecture(),
        )
        layout.tag("image", descriptor)
        return images.push(layout, descriptor, f"evil-{next(_numbers)}:latest")

    return make


@pytest.fixture(scope="session")
def pulled(rootless: Rootless, evil: Callable[..., str]) -> Callable[..., str]:
    """The same, in the shared store."""

    def make(*entries: oci.Entry, **fields: Any) -> str:
        reference = evil(*entries, **fields)
        rootless("pull", "-q", reference)
        return reference

    return make
