from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require
from tests.support.stores import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def new_store(tmp_path_factory) -> Iterator[Callable[..., Store]]:
    """Make a store of layers; removed at the end, whoever owns its files."""
    require("user_namespace")
    made: list[Store] = []

    def make(driver: str = "overlay", *, single: bool = False) -> Store:
        if not single:
            require("subids")
        if driver != "vfs":
            require("fuse" if driver == "fuse-overlayfs" else "overlay")
        store = Store(str(tmp_path_factory.mktemp("store")), driver, single=single)
        made.append(store)
        return store

    yield make
    for store in made:
        store.remove()


@pytest.fixture(params=["overlay", "fuse-overlayfs", "vfs", "overlay-single", "vfs-single"])
def store(request, new_store) -> Store:
    """Every driver, with a range of ids and with one id."""
    driver = request.param.removesuffix("-single")
    return new_store(driver, single=request.param.endswith("-single"))


@pytest.fixture(params=["overlay", "vfs"])
def ranged(request, new_store) -> Store:
    """Both forms of layers, with a range of ids."""
    return new_store(request.param)


@pytest.fixture
def outside(tmp_path) -> str:
    """A file of the user that no layer may touch."""
    path = tmp_path / "outside"
    path.write_text("untouched")
    os.utime(path, (1, 1))
    return str(path)
