"""Lines for the journal, as its native protocol has them, received by a socket in its place."""

from __future__ import annotations

import socket
import struct

import pytest

from rootless.runtime.journald import JournalWriter, fields_of


@pytest.fixture
def journal(tmp_path):
    path = f"{tmp_path}/socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(5)
        yield path, server


def _read(datagram: bytes) -> dict[str, bytes]:
    fields = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            fields[key.decode()], datagram = value, rest
        else:
            [size] = struct.unpack("<Q", rest[:8])
            fields[name.decode()], datagram = rest[8 : 8 + size], rest[9 + size :]
    return fields


def test_a_line_is_a_message_with_the_container_in_it(journal):
    path, server = journal
    fields = fields_of(container_id="0123456789abcdef", name="web", image="x\ny", tag="")
    writer = JournalWriter(fields, path)
    writer.write(1, b"one\ntwo\n")
    writer.write(2, b"part")
    first, second, third = (_read(server.recv(1 << 17)) for _ in range(3))
    assert (first["MESSAGE"], first["PRIORITY"], second["MESSAGE"]) == (b"one", b"6", b"two")
    assert (first["CONTAINER_NAME"], first["CONTAINER_ID"]) == (b"web", b"0123456789ab")
    assert first["IMAGE_NAME"] == b"x\ny"
    assert "CONTAINER_PARTIAL_MESSAGE" not in second
    assert (third["MESSAGE"], third["PRIORITY"]) == (b"part", b"3")
    assert third["CONTAINER_PARTIAL_MESSAGE"] == b"true"
    writer.close()


def test_a_long_line_comes_in_parts(journal):
    path, server = journal
    writer = JournalWriter({}, path)
    writer.write(1, b"x" * 100_000 + b"\n")
    parts = [_read(server.recv(1 << 17)) for _ in range(3)]
    assert b"".join(part["MESSAGE"] for part in parts) == b"x" * 100_000
    assert ["CONTAINER_PARTIAL_MESSAGE" in part for part in parts] == [True, True, False]
    writer.close()


def test_without_a_journal_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        JournalWriter({}, f"{tmp_path}/absent")
