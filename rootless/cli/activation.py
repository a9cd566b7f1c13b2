"""Descriptors that the caller hands on: ``--preserve-fds``, and sockets of systemd (sd_listen_fds(3))."""

from __future__ import annotations

import os

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.cli.argv import Values

_FIRST = 3  # SD_LISTEN_FDS_START


def preserve(given: Values) -> None:
    """Add what systemd gave us to what was asked for.  Raises InvalidRequest for one that is not open."""
    count = _activated()
    if count:
        given["env"] = (*given.get("env", ()), *_variables(count, init=given.get("init", False)))
    wanted = given["preserve_fds"] = max(count, given.get("preserve_fds", 0))
    for fd in range(_FIRST, _FIRST + wanted):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidRequest(
                f"--preserve-fds {wanted} wants descriptor {fd}, which is not open",
                hint="they are numbered from 3 on, without a gap",
            ) from None


def _activated() -> int:
    """How many sockets are meant for us: variables may be another process's."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    text = os.environ["LISTEN_FDS"]
    return int(text) if text.isdigit() else 0


def _variables(count: int, *, init: bool) -> tuple[str, ...]:
    """What the program inside is told: it looks whether the sockets are meant for its own pid."""
    names = os.environ.get("LISTEN_FDNAMES")
    told = (f"LISTEN_FDS={count}", f"LISTEN_PID={2 if init else 1}")
    return (*told, f"LISTEN_FDNAMES={names}") if names else told
