"""Commands on volumes."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.each import each, say_nothing
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine.volumes import ListedVolume

_HEADERS = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Scope": "SCOPE",
    "CreatedAt": "CREATED AT",
    "Anonymous": "ANONYMOUS",
    "Links": "LINKS",
    "Size": "SIZE",
}
_SHOWN = ("Driver", "Name")


def volume_create(name: str | None = None, **given: Any) -> None:
    """Make a volume: a directory that outlives containers."""
    from rootless.engine import volumes

    made = volumes.create(Engine.open(), volumes.CreateVolumeRequest(name, **given))
    output.write(made.name)


def volume_ls(
    *,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    quiet: bool = False,
    noheading: bool = False,
    size: bool = False,
) -> None:
    """List volumes."""
    from rootless.engine import volumes

    engine = Engine.open()
    listed = volumes.list_volumes(engine, filter, damaged=engine.damaged)
    counted = size or ".Size" in (format or "")
    output.listing(
        [_row(engine, each, counted=counted) for each in listed],
        _HEADERS,
        shown=(*_SHOWN, "Links", "Size") if size else _SHOWN,
        format=format,
        quiet="Name" if quiet else None,
        heading=not noheading,
        documents=map(document, listed),
    )
    output.left_out(engine.damaged)


def _row(engine: Engine, listed: ListedVolume, *, counted: bool) -> dict[str, object]:
    from rootless.cli.phrases import human_size
    from rootless.engine.volumes import size_of

    volume = listed.volume
    return {
        "Driver": "local",
        "Name": volume.name,
        "Mountpoint": volume.path,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Scope": "local",
        "CreatedAt": volume.created,
        "Anonymous": str(volume.anonymous).lower(),
        "Links": len(listed.containers),
        "Size": human_size(size_of(engine, volume)) if counted else "N/A",
    }


def document(listed: ListedVolume) -> dict[str, Any]:
    """In docker's words; ``Anonymous``, ``MountCount`` and ``Containers`` are beyond it."""
    volume = listed.volume
    return {
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "Anonymous": volume.anonymous,
        "MountCount": len(listed.containers),
        "Containers": list(listed.containers),
    }


def volume_inspect(
    volumes: tuple[str, ...] = (), *, all: bool = False, format: str | None = None
) -> int:
    """Describe volumes and which containers mount them."""
    from rootless.engine import volumes as store

    engine = Engine.open()
    found: list[dict[str, Any]] = []

    def look(name: str) -> None:
        found.append(document(store.inspect(engine, name)))

    code = each(_named(engine, volumes, all=all), look, show=say_nothing, goes_on=True)
    output.documents(found, format)
    return code


def _named(engine: Engine, names: tuple[str, ...], *, all: bool) -> tuple[str, ...]:
    """The names that were given, or with ``--all`` every one."""
    from rootless.engine.volumes import list_volumes
    from rootless.errors import InvalidRequest

    if all == bool(names):
        raise InvalidRequest("give names of volumes, or --all", hint="rootless volume ls")
    return tuple(each.volume.name for each in list_volumes(engine)) if all else names


def volume_rm(volumes: tuple[str, ...] = (), *, all: bool = False, force: bool = False) -> int:
    """Remove volumes with all that is in them."""
    from rootless.engine import volumes as store

    engine = Engine.open()
    request = store.RemoveVolumesRequest(force=force)
    return each(
        _named(engine, volumes, all=all),
        lambda name: store.remove(engine, request._replace(volumes=(name,))),
    )


def volume_prune(*, all: bool = False, filter: tuple[str, ...] = (), force: bool = False) -> int:
    """Remove volumes that no container mounts."""
    from rootless.cli.phrases import reclaimed
    from rootless.engine import volumes

    which = "volumes" if all else "anonymous volumes"
    if not force and not output.confirm(f"Remove all {which} that no container mounts?"):
        return 1
    removed, size_bytes = volumes.prune(Engine.open(), filter, all=all)
    for name in removed:
        output.write(name)
    output.write(reclaimed(size_bytes))
    return 0


def volume_exists(volume: str) -> int:
    """Exit with 0 if the volume exists, with 1 if not."""
    from rootless.engine import volumes

    return 0 if volumes.exists(Engine.open(), volume) else 1


def volume_mount(volume: str) -> None:
    """Print where the files of a volume are: always there, of subordinate ids for ``unshare``."""
    from rootless.engine import volumes

    output.write(volumes.volumes_of(Engine.open()).stored(volume).path)


def volume_unmount(volume: str) -> None:
    """Print the name: podman's drivers would unmount it."""
    from rootless.engine import volumes

    output.write(volumes.inspect(Engine.open(), volume).volume.name)


def volume_export(volume: str, *, output: str | None = None) -> None:
    """Write what is in a volume to a tar archive."""
    from rootless.engine import volumes
    from rootless.errors import InvalidRequest

    if output is None and os.isatty(1):
        raise InvalidRequest("an archive is nothing for a terminal", hint="-o FILE, or a pipe")
    volumes.export(Engine.open(), volume, os.path.abspath(output) if output else None)


def volume_import(volume: str, source: str) -> None:
    """Add what is in a tar archive to a volume."""
    from rootless.engine import volumes
    from rootless.errors import InvalidRequest

    if source == "-" and os.isatty(0):
        raise InvalidRequest("an archive is not typed on a terminal", hint="FILE, or a pipe")
    path = None if source == "-" else os.path.abspath(source)
    for notice in volumes.import_archive(Engine.open(), volume, path):
        output.warn(notice)
