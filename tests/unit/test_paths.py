"""Where a user's files are."""

from __future__ import annotations

import pytest

from rootless import paths

VARIABLES = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ROOTLESS_HOME")


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_DATA_HOME": "/data"},
        {"XDG_CACHE_HOME": "/cache", "XDG_CONFIG_HOME": ""},
        {"XDG_DATA_HOME": "relative"},
        {"XDG_CONFIG_HOME": "/a//b/"},
        {"HOME": "/"},
        {"HOME": ""},
    ],
)
def test_the_directories_are_those_of_platformdirs(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = paths.discover()
    assert (found.data, found.cache, found.config) == paths._platform_directories()


def test_everything_may_be_in_one_directory(monkeypatch):
    monkeypatch.setenv("ROOTLESS_HOME", "/x")
    assert paths.discover() == ("/x/data", "/x/cache", "/x/run", "/x/config")
