from __future__ import annotations

import marshal
import socket

import pytest

from rootless.errors import ImageRefused
from rootless.storage.unpacker import Unpacker


def test_what_the_foreman_said_before_it_ended_is_heard():
    """It ends at the first failure, perhaps with a job of ours unread: the kernel then says reset first."""
    ours, foremans = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(b"a job that is never read")
    foremans.send(marshal.dumps(("failed", "ImageRefused", "layer sha256:1 is damaged", None)))
    foremans.close()
    with pytest.raises(ImageRefused, match="damaged"):
        Unpacker(ours, None).wait()


def test_a_reset_is_also_heard_while_waiting():
    ours, foremans = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    unpacker = Unpacker(ours, None)
    ours.send(b"a job that is never read")
    foremans.send(marshal.dumps(("failed", "ImageRefused", "layer sha256:1 is damaged", None)))
    foremans.close()
    assert marshal.loads(unpacker._receive())[0] == "failed"
