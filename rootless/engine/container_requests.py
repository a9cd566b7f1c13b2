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


class PauseRequest(NamedTuple):
    """``pause`` and ``unpause``."""

    containers: tuple[str, ...] = ()
    all: bool = False
    latest: bool = False
    filter: tuple[str, ...] = ()
    cidfile: tuple[str, ...] = ()


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


class AttachRequest(NamedTuple):
    """``attach``."""

    container: str | None
    detach_keys: str | None = None
    no_stdin: bool = False
    sig_proxy: bool = True


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


class UpdateRequest(NamedTuple):
    """``update``; None leaves a limit alone."""

    container: str
    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    cpus: float | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    blkio_weight_device: tuple[str, ...] = ()
    device_read_bps: tuple[str, ...] = ()
    device_read_iops: tuple[str, ...] = ()
    device_write_bps: tuple[str, ...] = ()
    device_write_iops: tuple[str, ...] = ()
    restart: str | None = None


class EventsRequest(NamedTuple):
    """``events``; times are seconds since 1970."""

    since: float | None = None
    until: float | None = None
    filter: tuple[str, ...] = ()
    stream: bool = True
