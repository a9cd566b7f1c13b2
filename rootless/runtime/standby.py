"""MONITOR, its longer life: the small interpreter that stands by a container once that runs.

What a launch imports and plans is 6 MB that nobody else shares.  So a moment after the start the monitor
executes a fresh interpreter in its place: the same process, so it stays init's parent, with the same
descriptors, and what it has to know in a file in memory.  When a restart policy or ``--rm`` wants
more, that is imported then.
"""

from __future__ import annotations

import marshal
import os
import sys
from _socket import socket

from rootless.lean import signal
from rootless.network.kept import Kept, KeptLink
from rootless.runtime.log import LogOptions
from rootless.runtime.restart import RestartPolicy
from rootless.runtime.standing import Place, Standing
from rootless.typed import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import ModuleType

_NAME = b"rootless:[mon]"
_PROGRAM = (
    "import marshal,os,sys;d=marshal.load(open(int(sys.argv[2]),'rb'));sys.path[:]=d['path'];"
    "from rootless.runtime.standby import main;main(d)"
)
_PLAIN = (
    "stdin",
    "stdin_ends",
    "repeat",
    "pid",
    "terminal",
    "deadline",
    "restarts",
    "oom_kills",
    "again",
    "started",
    "lifeline",
    "main_pid",
)


def become(standing: Standing, engine: str) -> None:
    """Go on as that interpreter; returns only where this container needs more than it can do.

    ``engine`` is the module with ``finish`` and ``resume``, by name: below the engine nothing imports it.
    """
    kept = standing.link.kept() if standing.link is not None else Kept()
    if kept is None or standing.health is not None or not sys.executable:
        return
    document = _document(standing, kept, engine)
    fds = (
        *(
            standing.place.alive,
            standing.stdin,
            standing.terminal,
            standing.lifeline,
            standing.notify_fd,
        ),
        *standing.streams,
        *(standing.clients.descriptors()),
        *kept.descriptors(),
    )
    told = os.memfd_create("standby", 0)
    os.write(told, marshal.dumps(document))
    os.lseek(told, 0, os.SEEK_SET)
    flags = ["-I", "-S"] + (["-B"] if sys.dont_write_bytecode else [])
    if sys.pycache_prefix:
        flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    open_fds = [fd for fd in fds if fd >= 0]
    for fd in open_fds:
        os.set_inheritable(fd, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # it has no handler for a moment
    try:
        argv = [sys.executable, *flags, "-c", _PROGRAM, standing.place.id[:12], str(told)]
        os.execv(sys.executable, argv)
    except OSError:  # the interpreter is not there any more: this one does it as well
        for fd in open_fds:
            os.set_inheritable(fd, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        os.close(told)


def _document(standing: Standing, kept: Kept, engine: str) -> dict[str, Any]:
    """All that the next program has to know, in values that marshal knows."""
    import rootless

    code = os.path.dirname(os.path.dirname(os.path.abspath(rootless.__file__)))
    return {
        "path": [code, *(each for each in sys.path if os.path.isabs(each) and each != code)],
        "engine": engine,
        "finishes": standing.finish is not None,
        "place": tuple(standing.place),
        "log": tuple(standing.log_options),
        "restart": tuple(standing.restart),
        "cgroup": standing.cgroup,
        "clients": standing.clients.document(),
        "streams": list(standing.streams.items()),
        "to_stdin": bytes(standing.to_stdin),
        "began": standing.began,
        "link": tuple(kept),
        "notify": standing.notify_fd,
        "watches_network": bool(standing.network_fds),
        "plain": [getattr(standing, name) for name in _PLAIN],
    }


def main(document: dict[str, Any]) -> NoReturn:
    """What the fresh interpreter does; never returns."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(_NAME)
    place = Place(*document["place"])
    listener, *clients = document["clients"]
    standing = Standing(
        place,
        _adopted(listener),
        log=LogOptions(*document["log"]),
        restart=RestartPolicy(*document["restart"]),
        cgroup=document["cgroup"],
        finish=(lambda: _engine(document).finish(place.id)) if document["finishes"] else None,
    )
    code = 125
    try:
        _restore(standing, document, clients)
        signal.signal(signal.SIGTERM, lambda *_: standing.stop_by_signal())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        code = standing.stand_by()
        if standing.goes_on(code):
            _engine(document).resume(standing)  # never returns
    finally:
        os._exit(standing.end(code))


def _restore(standing: Standing, document: dict[str, Any], clients: list[Any]) -> None:
    for fd, flags, incoming, outgoing in clients:
        standing.clients.restore(_adopted(fd), flags=flags, incoming=incoming, outgoing=outgoing)
    for name, value in zip(_PLAIN, document["plain"], strict=True):
        setattr(standing, name, value)
    standing.streams = dict(document["streams"])
    standing.to_stdin += document["to_stdin"]
    standing.began = document["began"]
    if document["notify"] >= 0:
        standing.notify = _adopted(document["notify"])
    kept = Kept(*document["link"])
    for fd in (
        *kept.descriptors(),
        *standing.streams,
        standing.stdin,
        standing.terminal,
        standing.lifeline,
        standing.place.alive,
    ):
        if fd >= 0:
            os.set_inheritable(fd, False)
    standing.link = KeptLink(kept)
    standing.network_fds = standing.link.fds() if document["watches_network"] else ()


def _adopted(fd: int) -> socket:
    os.set_inheritable(fd, False)
    endpoint = socket(fileno=fd)
    endpoint.setblocking(False)
    return endpoint


def _engine(document: dict[str, Any]) -> ModuleType:
    return __import__(document["engine"], fromlist=["resume"])
