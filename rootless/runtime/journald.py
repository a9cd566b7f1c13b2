"""Container output to systemd's journal, by its native protocol.  Written by the MONITOR.

Each line is one datagram of fields (systemd.io/JOURNAL_NATIVE_PROTOCOL); a line that is not whole, or too
long for a datagram, is sent in parts that say so, as docker's driver does it.
"""

from __future__ import annotations

import struct

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {1: "6", 2: "3"}  # info and err (syslog(3))
_MOST = 48 << 10  # docker's limit too: the journal's own is LineMax=48K


class JournalWriter:
    """Sends what a container writes; ``fields`` go with every line.  Raises OSError without a journal."""

    def __init__(self, fields: Mapping[str, str], path: str = SOCKET):
        from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

        self._common = b"".join(_field(key, value.encode()) for key, value in fields.items())
        self._socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def write(self, stream: int, content: bytes) -> None:
        """Send what was read in one piece; a journal that is being restarted loses it, as it would others'."""
        for text, whole in _parts(content):
            partial = b"" if whole else b"CONTAINER_PARTIAL_MESSAGE=true\n"
            priority = b"PRIORITY=" + PRIORITIES[stream].encode() + b"\n"
            try:
                self._socket.send(self._common + priority + partial + _field("MESSAGE", text))
            except OSError:
                continue

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _parts(content: bytes) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether each is whole."""
    *lines, rest = content.split(b"\n")
    for number, line in enumerate((*lines, rest)):
        if number == len(lines) and not line:
            return
        for start in range(0, max(len(line), 1), _MOST):
            yield line[start : start + _MOST], number < len(lines) and start + _MOST >= len(line)


def _field(key: str, value: bytes) -> bytes:
    """``KEY=value``, or with a length where the value has a line end."""
    if b"\n" not in value:
        return key.encode() + b"=" + value + b"\n"
    return key.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


def fields_of(*, container_id: str, name: str, image: str, tag: str) -> dict[str, str]:
    """The fields that docker's and podman's drivers set."""
    return {
        "CONTAINER_ID": container_id[:12],
        "CONTAINER_ID_FULL": container_id,
        "CONTAINER_NAME": name,
        "CONTAINER_TAG": tag or container_id[:12],
        "IMAGE_NAME": image,
        "SYSLOG_IDENTIFIER": tag or name,
    }
