"""The example of docs/examples/postgresql, as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.cli import CHECKOUT

SHOW = f"{CHECKOUT}/docs/examples/postgresql/show"


@pytest.mark.show
@pytest.mark.network
def test_a_database_outlives_its_containers(rootless, debian, needs_tun, tmp_path):
    shown = subprocess.run(
        [SHOW, debian],
        env={
            **rootless.environment,
            "ROOTLESS": " ".join(rootless.command),
            "TMPDIR": str(tmp_path),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    sys.stdout.write(shown.stdout)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.endswith("== all is well\n")
    assert os.listdir(tmp_path) == []
    for listing in (("ps", "-aq"), ("volume", "ls", "-q"), ("secret", "ls", "-q")):
        assert "show" not in rootless(*listing).stdout
