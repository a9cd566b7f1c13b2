"""The example of docs/examples/services, as it stands there: nginx and PostgreSQL in real use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support.cli import CHECKOUT

SHOW = f"{CHECKOUT}/docs/examples/services/show"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.show
@pytest.mark.network
def test_two_servers_run_stop_start_and_come_back(rootless, debian, tmp_path):
    shown = subprocess.run(
        [SHOW, debian],
        env={
            **rootless.environment,
            "ROOTLESS": " ".join(rootless.command),
            "TMPDIR": str(tmp_path),
            "WEB_PORT": free_port(),
            "DB_PORT": free_port(),
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
    assert "show" not in rootless("ps", "-a").stdout
