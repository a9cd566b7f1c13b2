"""What the commands on existing containers are asked: one field a flag.

``containers`` are names, ids or prefixes of ids; ``latest``, ``all`` and ``filter`` (K=V) choose others.
"""

from __future__ import annotations

from rootless.typed import NamedTuple


class ListRequest(NamedTuple):
    """``ps``: without ``all``, only running containers."""

    all: bool = False
    filter: tuple[str, ...] = ()
    last: int | None = None
    latest: bool = False
    size: bool = False
    sort: str | None = None


class StopRequest(NamedTuple):
    """``stop`` and ``restart``; ``time`` is the grace in seconds."""

    containers: tuple[str, ...] = ()
    all: bool = False
    latest: bool = False
    running: bool = False  # restart: only those that run
    filter: tuple[str, ...] = ()
    cidfile: tuple[str, ...] = ()
    ignore: bool = False
    signal: str | None = None
    time: float | None = None


class KillRequest(NamedTuple):
    """``kill``; ``signal`` is a name or number."""

    containers: tuple[str, ...] = ()
    all: bool = False
    latest: bool = False
    cidfile: tuple[str, ...] = ()
    signal: str = "KILL"


class RemoveRequest(NamedTuple):
    """``rm``; ``volumes`` also removes anonymous volumes."""

    containers: tuple[str, ...] = ()
    all: bool = False
    latest: bool = False
    filter: tuple[str, ...] = ()
    cidfile: tuple[str, ...] = ()
    force: bool = False
    depend: bool = False
    ignore: bool = False
    time: float | None = None
    volumes: bool = False


class WaitRequest(NamedTuple):
    """``wait``; conditions as podman's: stopped, exited, running, healthy, removed ..."""

    containers: tuple[str, ...] = ()
    latest: bool = False
    condition: tuple[str, ...] = ()
    interval: float = 0.25
    ignore: bool = False


class LogsRequest(NamedTuple):
    """``logs``; ``since`` and ``until`` are seconds since 1970; ``tail`` None means all."""

    containers: tuple[str, ...] = ()
    latest: bool = False
    follow: bool = False
    since: float | None = None
    until: float | None = None
    tail: int | None = None


class CopyRequest(NamedTuple):
    """``cp``: paths as ``CONTAINER:PATH``, a path of the host, or ``-`` for a tar stream."""

    source: str
    target: str
    archive: bool = True
    follow_link: bool = False
    overwrite: bool = False


class CommitRequest(NamedTuple):
    """``commit``; ``change`` are instructions of a Dockerfile."""

    container: str
    image: str | None = None
    author: str | None = None
    change: tuple[str, ...] = ()
    format: str = "oci"
    message: str | None = None
    pause: bool = False
    iidfile: str | None = None


class EventsRequest(NamedTuple):
    """``events``; times are seconds since 1970."""

    since: float | None = None
    until: float | None = None
    filter: tuple[str, ...] = ()
    stream: bool = True
