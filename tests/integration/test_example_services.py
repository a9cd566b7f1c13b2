"""The example of docs/examples/services, as it stands there: nginx and PostgreSQL in real use."""

from __future__ import annotations

import socket

import pytest

from tests.support.examples import show


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.show
@pytest.mark.network
def test_two_servers_run_stop_start_and_come_back(rootless, debian, tmp_path):
    show("services", debian, rootless, tmp_path, WEB_PORT=free_port(), DB_PORT=free_port())
    assert "show" not in rootless("ps", "-a").stdout
