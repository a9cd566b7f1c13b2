"""Commands that look at containers: inspect, top, port, stats."""

from __future__ import annotations

import time

from rootless.cli import output
from rootless.engine import Engine
from rootless.engine.selection import select
from rootless.errors import InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.stats import Sample


def inspect(
    names: tuple[str, ...] = (),
    *,
    format: str | None = None,
    type: str = "all",
    size: bool = False,
    latest: bool = False,
) -> int:
    """Describe containers, images, volumes and networks."""
    engine = Engine.open()
    lookups = _lookups(engine, size=size)
    chosen = select(engine, names, latest=latest) if latest else names
    if not chosen:
        raise InvalidRequest("nothing is named", hint="rootless inspect NAME")
    kinds = list(lookups) if type == "all" else [type]
    return _describe(chosen, format, lambda name: _first(name, [lookups[each] for each in kinds]))


def container_inspect(
    names: tuple[str, ...] = (),
    *,
    format: str | None = None,
    size: bool = False,
    latest: bool = False,
) -> int:
    """Describe containers."""
    engine = Engine.open()
    lookup = _lookups(engine, size=size)["container"]
    return _describe(select(engine, names, latest=latest), format, lookup)


def _lookups(engine: Engine, *, size: bool) -> dict[str, Callable[[str], dict[str, Any]]]:
    """How a name is looked up, for each type of thing, in the order that they are tried."""

    def container(name: str) -> dict[str, Any]:
        from rootless.engine.inspect import inspect_container

        return inspect_container(engine, name, size=size)

    def image(name: str) -> dict[str, Any]:
        from rootless.engine.images import inspect_image

        return inspect_image(engine, name)

    def network(name: str) -> dict[str, Any]:
        from rootless.cli.networks import document
        from rootless.engine.networks import inspect as inspect_network

        return document(*inspect_network(engine, name))

    def volume(name: str) -> dict[str, Any]:
        from rootless.cli.volumes import document
        from rootless.engine.volumes import inspect as inspect_volume

        return document(inspect_volume(engine, name))

    return {"container": container, "image": image, "volume": volume, "network": network}


def _first(name: str, lookups: list[Callable[[str], dict[str, Any]]]) -> dict[str, Any]:
    for lookup in lookups[:-1]:
        try:
            return lookup(name)
        except (NotFound, InvalidRequest):
            continue
    try:
        return lookups[-1](name)
    except NotFound:
        if len(lookups) == 1:
            raise
        raise NotFound(f"no container, image, volume or network {name!r}") from None


def _describe(
    names: tuple[str, ...], format: str | None, lookup: Callable[[str], dict[str, Any]]
) -> int:
    from rootless.cli.each import each, say_nothing

    found: list[dict[str, Any]] = []
    code = each(names, lambda name: found.append(lookup(name)), show=say_nothing, goes_on=True)
    output.documents(found, format)
    return code


def top(container: str = "", columns: tuple[str, ...] = (), *, latest: bool = False) -> None:
    """Show the processes of a container."""
    from rootless.cli.process_rows import COLUMNS, cells, chosen
    from rootless.engine.processes import processes

    engine = Engine.open()
    if latest:  # then the first word is a column
        columns, container = (container, *columns), select(engine, (), latest=True)[0]
    if not container:
        raise InvalidRequest("no container is named", hint="name one, or use --latest")
    names = chosen(columns)
    unknown = [each for each in names if each not in COLUMNS]
    if unknown:
        raise InvalidRequest(
            f"top has no column {unknown[0]!r}", hint="one of " + " ".join(COLUMNS)
        )
    lines = [[COLUMNS[each][0] for each in names]]
    lines += [cells(process, names) for process in processes(engine, container)]
    output.write(output.table(lines))


def port(
    container: str | None = None,
    port: str | None = None,
    *,
    all: bool = False,
    latest: bool = False,
) -> int:
    """List the published ports of containers."""
    from rootless.engine.inspect import published_ports

    engine = Engine.open()
    running = ("status=running", "status=paused") if all else ()
    names = select(engine, (container,) if container else (), filters=running, latest=latest)
    wanted = port if port is None or "/" in port else f"{port}/tcp"
    code = 0
    for name in names:
        found = published_ports(engine, name)
        if wanted is not None and wanted not in found:
            output.complain(f"no public port {wanted!r} published for {name}")
            code = 1
        for inner, places in found.items():
            for place in places if wanted in (None, inner) else ():
                outer = f"{place['HostIp']}:{place['HostPort']}"
                prefix = f"{name}\t" if all else ""
                output.write(prefix + (outer if wanted else f"{inner} -> {outer}"))
    return code


def stats(
    containers: tuple[str, ...] = (),
    *,
    all: bool = False,
    format: str | None = None,
    interval: float = 2.0,
    no_stream: bool = False,
    no_reset: bool = False,
    no_trunc: bool = False,
    latest: bool = False,
) -> None:
    """Show what containers use, again and again."""
    from rootless.cli import stats_rows as rows
    from rootless.engine.stats import sample

    engine = Engine.open()
    before: dict[str, Sample] = {}
    while True:
        chosen = _observed(engine, containers, all=all, latest=latest)
        samples = [(name, sample(engine, name)) for name in chosen]
        if not before:  # the share of a processor needs two looks
            before = {each.id: each for _, each in samples if each is not None}
            time.sleep(min(interval, 0.2))
            samples = [(name, sample(engine, name)) for name in chosen]
        listed = [rows.row(name, each, before, whole=no_trunc) for name, each in samples]
        if not (no_stream or no_reset or format):
            output.clear_screen()
        output.listing(
            listed,
            rows.HEADERS,
            shown=rows.SHOWN,
            format=format,
            documents=(rows.document(name, each, before) for name, each in samples),
        )
        if no_stream:
            return
        output.flush()
        before = {each.id: each for _, each in samples if each is not None}
        time.sleep(interval)


def _observed(
    engine: Engine, names: tuple[str, ...], *, all: bool, latest: bool
) -> tuple[str, ...]:
    if names or latest:
        return select(engine, names, latest=latest)
    if all:
        return select(engine, (), all=True)
    return select(engine, (), filters=("status=running", "status=paused"))
