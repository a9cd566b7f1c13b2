"""Fixtures of more than one file here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cli import Rootless


@pytest.fixture(scope="module")
def builder(new_store, images) -> Rootless:
    """A store with busybox under that name."""
    rootless = new_store()
    rootless("pull", "-q", images.busybox)
    rootless("tag", images.busybox, "busybox")
    return rootless
