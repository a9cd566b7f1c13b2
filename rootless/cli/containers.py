"""Commands on existing containers."""

from __future__ import annotations

from rootless.cli import output
from rootless.engine import Engine


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
    listed = list_containers(Engine.open(), request)
    output.listing(
        (rows.row(each, whole=no_trunc) for each in listed),
        rows.HEADERS,
        shown=(*rows.SHOWN, "Size") if size else rows.SHOWN,
        format=format,
        quiet="ID" if quiet else None,
        heading=not noheading,
        documents=map(rows.document, listed),
    )


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
) -> None:
    """Remove containers."""
    from rootless.engine.container_requests import RemoveRequest
    from rootless.engine.containers import remove_containers

    request = RemoveRequest(
        containers=containers,
        all=all,
        latest=latest,
        filter=filter,
        cidfile=cidfile,
        force=force,
        depend=depend,
        ignore=ignore,
        time=time,
        volumes=volumes,
    )
    for name in remove_containers(Engine.open(), request):
        output.write(name)
