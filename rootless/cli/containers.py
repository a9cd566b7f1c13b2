"""Commands on existing containers."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.each import each, say_nothing
from rootless.engine import Engine
from rootless.engine.selection import select
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.sizes import Size


def ps(
    *,
    all: bool = False,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    quiet: bool = False,
    no_trunc: bool = False,
    last: int | None = None,
    latest: bool = False,
    size: bool = False,
    sort: str | None = None,
    noheading: bool = False,
) -> None:
    """List containers."""
    from rootless.cli import container_rows as rows
    from rootless.engine.container_requests import ListRequest
    from rootless.engine.containers import list_containers

    request = ListRequest(all=all, filter=filter, last=last, latest=latest, size=size, sort=sort)
    engine = Engine.open()
    listed = list_containers(engine, request)
    known: dict[str, Size] = {}
    if size or sort == "size" or ".Size" in (format or ""):
        from rootless.engine.sizes import sizes

        known = sizes(engine, (each.container for each in listed))
    if sort is not None:
        listed = rows.ordered(listed, sort, known)
    output.listing(
        (rows.row(each, whole=no_trunc, size=known.get(each.container.id)) for each in listed),
        rows.HEADERS,
        shown=(*rows.SHOWN, "Size") if size else rows.SHOWN,
        format=format,
        quiet="ID" if quiet else None,
        heading=not noheading,
        documents=(rows.document(each, known.get(each.container.id)) for each in listed),
    )
    output.left_out(engine.damaged)


def init(containers: tuple[str, ...] = (), *, all: bool = False, latest: bool = False) -> int:
    """Set up all of containers but their programs."""
    from rootless.engine import lifecycle

    engine = Engine.open()
    names = select(
        engine, containers, all=all, latest=latest, filters=("status=created",) if all else ()
    )
    return each(names, lambda name: lifecycle.init(engine, name))


def rm(
    containers: tuple[str, ...] = (),
    *,
    force: bool = False,
    volumes: bool = False,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    cidfile: tuple[str, ...] = (),
    depend: bool = False,
    ignore: bool = False,
    time: float | None = None,
) -> int:
    """Remove containers."""
    from rootless.engine.container_requests import RemoveRequest
    from rootless.engine.removal import remove_containers

    request = RemoveRequest(force=force, depend=depend, time=time, volumes=volumes)
    engine = Engine.open()
    names = select(
        engine,
        containers,
        all=all,
        latest=latest,
        filters=filter,
        cidfiles=cidfile,
        ignore=ignore or force,
    )

    def remove(name: str) -> None:
        for dependant in remove_containers(engine, request._replace(containers=(name,)))[:-1]:
            output.write(dependant)

    return each(names, remove)


def stop(
    containers: tuple[str, ...] = (),
    *,
    time: float | None = None,
    signal: str | None = None,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    cidfile: tuple[str, ...] = (),
    ignore: bool = False,
) -> int:
    """Ask containers to end, and end them after a while."""
    from rootless.engine import stopping
    from rootless.engine.container_requests import StopRequest

    request = StopRequest(time=time, signal=signal)
    engine = Engine.open()
    names = select(
        engine, containers, all=all, latest=latest, filters=filter, cidfiles=cidfile, ignore=ignore
    )
    return each(names, lambda name: stopping.stop(engine, request._replace(containers=(name,))))


def restart(
    containers: tuple[str, ...] = (),
    *,
    time: float | None = None,
    signal: str | None = None,
    running: bool = False,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    cidfile: tuple[str, ...] = (),
) -> int:
    """Stop and start containers."""
    from rootless.engine import lifecycle
    from rootless.engine.container_requests import StopRequest

    request = StopRequest(time=time, signal=signal)
    engine = Engine.open()
    filters = (*filter, "status=running") if running else filter
    names = select(engine, containers, all=all, latest=latest, filters=filters, cidfiles=cidfile)
    return each(names, lambda name: lifecycle.restart(engine, request._replace(containers=(name,))))


def kill(
    containers: tuple[str, ...] = (),
    *,
    signal: str = "KILL",
    all: bool = False,
    latest: bool = False,
    cidfile: tuple[str, ...] = (),
) -> int:
    """Send a signal to containers."""
    from rootless.engine import stopping
    from rootless.engine.container_requests import KillRequest

    request = KillRequest(signal=signal)
    engine = Engine.open()
    filters = ("status=running",) if all else ()
    names = select(engine, containers, latest=latest, filters=filters, cidfiles=cidfile)
    return each(names, lambda name: stopping.kill(engine, request._replace(containers=(name,))))


def wait(
    containers: tuple[str, ...] = (),
    *,
    condition: tuple[str, ...] = (),
    interval: float = 0.25,
    latest: bool = False,
    ignore: bool = False,
) -> int:
    """Wait for containers to end, and print their exit codes."""
    from rootless.engine import lifecycle
    from rootless.engine.container_requests import WaitRequest

    engine = Engine.open()

    def wait_for(name: str) -> None:
        request = WaitRequest(containers=(name,), condition=condition, interval=interval)
        for code in lifecycle.wait(engine, request):
            output.write(str(code))

    return each(
        select(engine, containers, latest=latest, ignore=ignore), wait_for, show=say_nothing
    )


def attach(
    container: str | None = None,
    *,
    no_stdin: bool = False,
    detach_keys: str | None = None,
    sig_proxy: bool = True,
    latest: bool = False,
) -> int:
    """Connect to the terminal or streams of a running container."""
    from rootless.engine import lifecycle

    engine = Engine.open()
    names = select(engine, (container,) if container else (), latest=latest)
    return lifecycle.attach(
        engine, names[0], no_stdin=no_stdin, detach_keys=detach_keys, sig_proxy=sig_proxy
    )


def logs(
    containers: tuple[str, ...] = (),
    *,
    follow: bool = False,
    tail: str = "all",
    since: str | None = None,
    until: str | None = None,
    timestamps: bool = False,
    names: bool = False,
    latest: bool = False,
) -> None:
    """Show what containers have written."""
    import time

    from rootless.cli import values
    from rootless.engine import logs as engine_logs
    from rootless.engine.container_requests import LogsRequest

    engine, now = Engine.open(), time.time()
    chosen = select(engine, containers, latest=latest)
    request = LogsRequest(
        follow=follow,
        tail=None if tail in ("all", "-1") else values.natural(tail),
        since=None if since is None else values.timestamp(since, now=now),
        until=None if until is None else values.timestamp(until, now=now),
    )
    if len(chosen) > 1:
        from rootless.cli.several_logs import show

        show(engine, chosen, request, timestamps=timestamps, prefixed=names)
        return
    prefix = f"{chosen[0]} " if names else ""
    records = engine_logs.logs(engine, chosen[0], request)
    output.log(records, timestamps=timestamps, prefix=prefix, flush=follow)


def rename(container: str, name: str) -> None:
    """Give a container another name."""
    from rootless.engine import containers

    containers.rename(Engine.open(), container, name)


def pause(
    containers: tuple[str, ...] = (),
    *,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    cidfile: tuple[str, ...] = (),
) -> int:
    """Stop all processes of containers where they are."""
    from rootless.engine import containers as store

    engine = Engine.open()
    filters = (*filter, "status=running") if all else filter
    names = select(engine, containers, latest=latest, filters=filters, cidfiles=cidfile)
    return each(names, lambda name: store.pause(engine, name))


def unpause(
    containers: tuple[str, ...] = (),
    *,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    cidfile: tuple[str, ...] = (),
) -> int:
    """Let the processes of paused containers go on."""
    from rootless.engine import containers as store

    engine = Engine.open()
    filters = (*filter, "status=paused") if all else filter
    names = select(engine, containers, latest=latest, filters=filters, cidfiles=cidfile)
    return each(names, lambda name: store.unpause(engine, name))


def container_prune(*, filter: tuple[str, ...] = (), force: bool = False) -> int:
    """Remove all containers that do not run."""
    from rootless.cli.phrases import reclaimed
    from rootless.engine.removal import prune

    if not force and not output.confirm("Remove all containers that do not run?"):
        return 1
    engine = Engine.open()
    removed, size = prune(engine, filter)
    for container_id in removed:
        output.write(container_id)
    output.write(reclaimed(size))
    output.left_out(engine.damaged)
    return 0


def container_exists(container: str) -> int:
    """Exit with 0 if the container exists, with 1 if not."""
    from rootless.engine.selection import exists

    return 0 if exists(Engine.open(), container) else 1
