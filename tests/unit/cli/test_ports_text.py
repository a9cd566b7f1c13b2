"""How ``ps`` words published ports."""

from __future__ import annotations

import pytest

from rootless.cli.container_rows import port_document, ports_text
from rootless.network.ports import parse_ports


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("8080:80",), "0.0.0.0:8080->80/tcp"),
        (("8100-8102:100-102",), "0.0.0.0:8100-8102->100-102/tcp"),
        (("81:81", "82:82"), "0.0.0.0:81-82->81-82/tcp"),
        (("81:81", "82:82/udp"), "0.0.0.0:81->81/tcp, 0.0.0.0:82->82/udp"),
        (("81:81", "127.0.0.1:82:82"), "0.0.0.0:81->81/tcp, 127.0.0.1:82->82/tcp"),
        (("81:81", "83:82", "84:83"), "0.0.0.0:81->81/tcp, 0.0.0.0:83-84->82-83/tcp"),
    ],
)
def test_neighbours_are_a_range(given, text):
    ports = [port_document(each) for words in given for each in parse_ports(words)]
    assert ports_text(ports) == text
