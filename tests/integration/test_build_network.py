"""A real package of a real distribution, installed by a RUN over the build's own network."""

from __future__ import annotations

import pytest

from tests.support import corpus


@pytest.mark.network
def test_packages_are_installed(rootless, debian, tmp_path):
    rootless("tag", debian, "debian")
    case = next(case for case in corpus.cases() if case.name == "debian-packages")
    directory = corpus.lay_out(case, str(tmp_path / "context"))
    rootless("build", "-t", "packages", directory, timeout_s=300)
    said = rootless("run", "--rm", "--network=none", "packages", "tree", "--version").stdout
    assert said.startswith("tree v")
