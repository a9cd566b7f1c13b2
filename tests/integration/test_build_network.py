"""A real package of a real distribution, installed by a RUN over the build's own network."""

from __future__ import annotations

import os

import pytest

from tests.support import corpus


def test_a_build_that_runs_nothing_asks_for_no_network(fresh_rootless, tmp_path):
    asked = tmp_path / "asked"
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    for name in ("pasta", "slirp4netns"):
        (helpers / name).write_text(f"#!/bin/sh\n: >> {asked}\nexit 1\n")
        (helpers / name).chmod(0o755)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nENV A=b\nCOPY Dockerfile /\n")
    env = {"PATH": f"{helpers}:{os.environ['PATH']}"}
    fresh_rootless("build", "-t", "still", str(tmp_path), env=env)
    assert not asked.exists()
    (tmp_path / "Dockerfile").write_text('FROM still\nRUN ["/nothing"]\n')
    fresh_rootless("build", str(tmp_path), env=env, check=False)
    assert asked.exists()


@pytest.mark.network
def test_packages_are_installed(rootless, debian, tmp_path):
    rootless("tag", debian, "debian")
    case = next(case for case in corpus.cases() if case.name == "debian-packages")
    directory = corpus.lay_out(case, str(tmp_path / "context"))
    rootless("build", "-t", "packages", directory, timeout_s=300)
    said = rootless("run", "--rm", "--network=none", "packages", "tree", "--version").stdout
    assert said.startswith("tree v")
