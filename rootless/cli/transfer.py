"""Commands that move files between containers, images and archives."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.phrases import printable
from rootless.cli.reporting import Reporting
from rootless.engine import Engine
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.differences import Difference


def cp(
    source: str,
    target: str,
    *,
    archive: bool = False,
    follow_link: bool = False,
    overwrite: bool = False,
) -> None:
    """Copy files between containers and this host, or tar streams."""
    from rootless.engine.container_requests import CopyRequest
    from rootless.engine.copy import copy

    request = CopyRequest(source, target, archive, follow_link, overwrite)
    with Reporting() as report:
        copy(Engine.open(), request, report)


def diff(names: tuple[str, ...] = (), *, format: str | None = None, latest: bool = False) -> None:
    """Show what a container has changed in its files."""
    from rootless.engine import differences
    from rootless.engine.selection import select

    engine = Engine.open()
    if len(names) != 2:
        [names] = (_single(select(engine, names, latest=latest), "diff"),)
    _show(differences.diff(engine, names), format)


def image_diff(names: tuple[str, ...], *, format: str | None = None) -> None:
    """Show how the files of two images differ."""
    from rootless.engine import differences

    if len(names) > 2:
        raise InvalidRequest("only two images can be compared")
    _show(differences.image_diff(Engine.open(), names), format)


def _single(names: tuple[str, ...], command: str) -> tuple[str, ...]:
    if len(names) != 1:
        raise InvalidRequest(f"rootless {command} takes one name")
    return names


_TITLES = {"C": "changed", "A": "added", "D": "deleted"}


def _show(found: list[Difference], format: str | None) -> None:
    if format is None:
        for each in found:
            output.write(f"{each.kind} {printable(each.path)}")  # JSON has it as it is
        return
    if format != "json":
        raise InvalidRequest(f"diff has no format {format!r}", hint="--format json")
    document: dict[str, list[str]] = {}
    for each in found:
        document.setdefault(_TITLES[each.kind], []).append(each.path)
    output.document(document, "json")


def export(
    container: str | None = None, *, output: str | None = None, latest: bool = False
) -> None:
    """Write all files of a container to a tar archive."""
    from rootless.engine import export as engine_export
    from rootless.engine.selection import select

    engine = Engine.open()
    names = select(engine, (container,) if container else (), latest=latest)
    engine_export.export(engine, names[0], output)


def import_(
    source: str,
    reference: str | None = None,
    *,
    change: tuple[str, ...] = (),
    message: str | None = None,
    platform: str | None = None,
    quiet: bool = False,
) -> None:
    """Make an image of an archive of files."""
    from rootless.engine.commit import ImportRequest, import_image

    request = ImportRequest(source, reference, change, message, platform)
    with Reporting(quiet=quiet) as report:
        image_id = import_image(Engine.open(), request, report)
    output.write(image_id)


def commit(
    container: str,
    image: str | None = None,
    *,
    author: str | None = None,
    change: tuple[str, ...] = (),
    message: str | None = None,
    pause: bool = False,
    iidfile: str | None = None,
    format: str = "oci",
    quiet: bool = False,
) -> None:
    """Make an image of a container's files."""
    from rootless.engine.commit import commit as make
    from rootless.engine.container_requests import CommitRequest

    request = CommitRequest(
        container,
        image,
        author=author,
        change=change,
        format=format,
        message=message,
        pause=pause,
        iidfile=iidfile,
    )
    output.write(make(Engine.open(), request))
