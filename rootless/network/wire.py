"""Messages between a container's supervisor and the keeper of user networks: JSON and descriptors."""

from __future__ import annotations

import json
import os
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET
from array import array

from rootless import errors
from rootless.errors import HostLacks, RootlessError
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _socket import socket

_MESSAGE_BYTES = 64 << 10
_MOST_FDS = 8
_GONE = "the process that keeps the user networks has ended"


class Gone(HostLacks):
    """The other end does not answer any more."""


def send(endpoint: socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """One message of a SOCK_SEQPACKET connection."""
    rights = [(SOL_SOCKET, SCM_RIGHTS, array("i", fds))] if fds else []
    endpoint.sendmsg([json.dumps(message).encode()], rights)


def receive(endpoint: socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its descriptors; None at the end of the connection."""
    try:
        content, ancillary, _, _ = endpoint.recvmsg(
            _MESSAGE_BYTES, CMSG_SPACE(_MOST_FDS * 4), MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:
        return None, []
    fds = array("i")
    for level, kind, rights in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            fds.frombytes(rights[: len(rights) - len(rights) % 4])
    return (json.loads(content) if content else None), list(fds)


def close_all(fds: list[int]) -> None:
    """Give back descriptors that came with a message."""
    for fd in fds:
        os.close(fd)


def failure(error: RootlessError) -> dict[str, Any]:
    """An answer that raises the same error where it is received."""
    return {"failed": type(error).__name__, "message": error.message, "hint": error.hint}


def ask(
    endpoint: socket, request: dict[str, Any], fds: tuple[int, ...] = ()
) -> tuple[dict[str, Any], list[int]]:
    """Send a request and wait for its answer.

    Raises what the request failed with, and HostLacks when the other end is gone.
    """
    try:
        send(endpoint, request, fds)
    except OSError:
        raise Gone(_GONE) from None
    return receive_answer(endpoint)


def receive_answer(endpoint: socket) -> tuple[dict[str, Any], list[int]]:
    """The second half of ``ask``."""
    answer, given = receive(endpoint)
    if answer is None:
        raise Gone(_GONE)
    if "failed" in answer:
        kind = getattr(errors, answer["failed"], RootlessError)
        raised: RootlessError = kind(answer["message"], hint=answer["hint"])
        raise raised
    return answer, given
