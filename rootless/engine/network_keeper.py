"""The keeper of user networks: connect to it, starting it when nobody has."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import HostLacks
from rootless.network import keeper
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from _socket import socket

    from rootless.paths import Paths
    from rootless.userns.idmap import IdMap

_TRIES = 5


def running(paths: Paths) -> socket | None:
    """A connection to the keeper, or None when no container is on a user network."""
    return keeper.connect(_directory(paths))


def connection(paths: Paths, id_map: IdMap) -> socket:
    """A connection to the keeper, which is started when there is none.  Raises HostLacks."""
    directory = _directory(paths)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    for _ in range(_TRIES):
        found = keeper.connect(directory)
        if found is not None:
            return found
        with files.lock(f"{directory}/start.lock"):
            found = keeper.connect(directory)
            if found is not None:
                return found
            _start(paths, id_map)
    raise HostLacks("the keeper of user networks ends as soon as it is started")


def _directory(paths: Paths) -> str:
    return f"{paths.run}/networks"


def _start(paths: Paths, id_map: IdMap) -> None:
    """Fork the keeper; returns when it listens."""
    from rootless.network import inside

    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    inside.fork_daemon(lambda: _run(paths, id_map, write_end), name="keeper", kept=(write_end,))
    os.close(write_end)
    with open(read_end, "rb") as stream:
        answer = stream.read()
    if answer != b"ready":
        words = answer.decode(errors="replace") or "it ended"
        raise HostLacks(
            f"cannot start the keeper of user networks: {words}", hint="rootless doctor"
        )


def _run(paths: Paths, id_map: IdMap, ready: int) -> None:
    """In the keeper's process."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

    from rootless.errors import RootlessError
    from rootless.network import wire
    from rootless.userns import enter

    directory = _directory(paths)
    # An earlier keeper that is about to end still has the socket's name.
    alive = files.open_lock(f"{directory}/keeper.lock")
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    child = None
    try:
        child = enter.spawn(lambda: _work(theirs, (ready, ours.fileno(), alive)), id_map)
        theirs.close()
        wire.receive_answer(ours)
        listener = keeper.bind(directory)
    except (RootlessError, OSError) as error:
        os.write(ready, str(error).encode())
        if child is not None:
            child.kill()
        return
    os.write(ready, b"ready")
    os.close(ready)
    keeper.Keeper(listener, ours, child.pid, directory=paths.networks).run()
    os.unlink(f"{directory}/{keeper.SOCKET}")
    child.kill()
    os.close(alive)


def _work(endpoint: socket, others: tuple[int, ...]) -> None:
    """In the worker's process, which must not hold what its parent's end shows by closing."""
    from rootless.network import worker

    for fd in others:
        os.close(fd)
    worker.serve(endpoint)
