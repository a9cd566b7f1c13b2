"""Commands on stored images."""

from __future__ import annotations

import time

from rootless.cli import output
from rootless.cli.phrases import human_size, reclaimed
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine.image_removal import Removed


def images(
    names: tuple[str, ...] = (),
    *,
    all: bool = False,
    digests: bool = False,
    filter: tuple[str, ...] = (),
    format: str | None = None,
    no_trunc: bool = False,
    quiet: bool = False,
    noheading: bool = False,
    sort: str = "created",
) -> None:
    """List images."""
    from rootless.cli import image_rows as rows
    from rootless.engine.image_list import ImagesRequest, list_images

    engine = Engine.open()
    listed = list_images(engine, ImagesRequest(names, filter, time.time()))
    listed.sort(key=rows.SORT[sort])
    shown = rows.WITH_DIGESTS if digests else rows.SHOWN
    if any(each.read_only for each in listed):
        shown = (*shown, "ReadOnly")
    output.listing(
        [rows.row(each, whole=no_trunc) for each in listed],
        rows.HEADERS,
        shown=shown,
        format=format,
        quiet="ID" if quiet else None,
        heading=not noheading,
        documents=map(rows.document, listed),
    )
    output.left_out(engine.damaged)


def tag(image: str, names: tuple[str, ...]) -> None:
    """Give an image further names."""
    from rootless.engine import images as store

    store.tag(Engine.open(), image, names)


def untag(image: str, names: tuple[str, ...] = ()) -> None:
    """Take names away from an image; all of them if none is given."""
    from rootless.engine import images as store

    store.untag(Engine.open(), image, names)


def history(
    image: str,
    *,
    format: str | None = None,
    human: bool = True,
    no_trunc: bool = False,
    quiet: bool = False,
) -> None:
    """Show how an image was made."""
    from rootless.cli import image_rows as rows
    from rootless.engine import images as store

    lines = store.history(Engine.open(), image)
    output.listing(
        [rows.history_row(each, whole=no_trunc, human=human) for each in lines],
        rows.HISTORY_HEADERS,
        shown=tuple(rows.HISTORY_HEADERS)[:5],
        format=format,
        quiet="ID" if quiet else None,
        documents=(each._asdict() for each in lines),
    )


def image_inspect(
    images: tuple[str, ...], *, format: str | None = None, platform: str | None = None
) -> int:
    """Describe images."""
    from rootless.cli.each import each, say_nothing
    from rootless.engine.images import inspect_image

    engine = Engine.open()
    found: list[dict[str, Any]] = []
    code = each(
        images,
        lambda name: found.append(inspect_image(engine, name, platform)),
        show=say_nothing,
        goes_on=True,
    )
    output.documents(found, format)
    return code


def image_tree(image: str, *, no_trunc: bool = False) -> None:
    """Show the layers of an image, and which images share them."""
    from rootless.cli.phrases import familiar, short_id
    from rootless.engine.images import tree

    lines = tree(Engine.open(), image)
    output.write(f"{image}: {human_size(sum(each.size_bytes for each in lines))}")
    for number, line in enumerate(lines, 1):
        branch = "└──" if number == len(lines) else "├──"
        name = line.diff_id if no_trunc else short_id(line.diff_id)
        tops = f"  top layer of {', '.join(map(familiar, line.names))}" if line.names else ""
        output.write(f"{branch} {name}  {human_size(line.size_bytes)}{tops}")


def image_exists(image: str) -> int:
    """Exit with 0 if the image is stored, with 1 if not."""
    from rootless.engine.images import exists

    return 0 if exists(Engine.open(), image) else 1


def rmi(
    images: tuple[str, ...] = (), *, force: bool = False, all: bool = False, ignore: bool = False
) -> int:
    """Remove images."""
    from rootless.cli.each import each, say_nothing
    from rootless.engine.image_removal import RemoveImagesRequest, remove_images
    from rootless.errors import InvalidRequest

    engine = Engine.open()
    request = RemoveImagesRequest(force=force, ignore=ignore)
    if all:
        _show_removed(remove_images(engine, request._replace(all=True)))
        return 0
    if not images:
        raise InvalidRequest("no image is named", hint="name one, or use --all")
    return each(
        images,
        lambda name: _show_removed(remove_images(engine, request._replace(images=(name,)))),
        show=say_nothing,
    )


def _show_removed(removed: Removed) -> None:
    for name in removed.untagged:
        output.write(f"Untagged: {name}")
    for image_id in removed.deleted:
        output.write(f"Deleted: {image_id}")


def image_prune(*, all: bool = False, filter: tuple[str, ...] = (), force: bool = False) -> int:
    """Remove images without a name, or all that no container uses."""
    from rootless.engine.image_removal import PruneImagesRequest, prune_images

    which = "that no container uses" if all else "without a name"
    if not force and not output.confirm(f"Remove all images {which}?"):
        return 1
    removed = prune_images(Engine.open(), PruneImagesRequest(all, filter, time.time()))
    _show_removed(removed)
    output.write(reclaimed(removed.size_bytes))
    return 0


def save(
    images: tuple[str, ...], *, output: str | None = None, format: str = "docker-archive"
) -> None:
    """Write images to an archive or directory."""
    import os

    from rootless.engine.save import SaveRequest
    from rootless.engine.save import save as save_images
    from rootless.errors import InvalidRequest

    if output is None and os.isatty(1):
        raise InvalidRequest("an archive is nothing for a terminal", hint="-o FILE, or a pipe")
    path = os.path.abspath(output) if output else None
    save_images(Engine.open(), SaveRequest(images, output=path, format=format))


def load(*, input: str | None = None, quiet: bool = False) -> None:
    """Read images from an archive or directory."""
    import os

    from rootless.cli.reporting import Reporting
    from rootless.engine.load import LoadRequest
    from rootless.engine.load import load as load_images
    from rootless.errors import InvalidRequest

    if input is None and os.isatty(0):
        raise InvalidRequest("an archive does not come from a terminal", hint="-i FILE, or a pipe")
    path = os.path.abspath(input) if input else None
    with Reporting(quiet=quiet) as report:
        loaded = load_images(Engine.open(), LoadRequest(path), report)
    for each in loaded:
        for name in each.names or (each.image_id,):
            output.write(f"Loaded image: {name}")


def image_bootstrap(*, tag: str | None = None, quiet: bool = False) -> None:
    """Make a base image of this host's own files."""
    from rootless.cli.reporting import Reporting
    from rootless.engine.bootstrap import DEFAULT_NAME, bootstrap

    with Reporting(quiet=quiet) as report:
        result = bootstrap(Engine.open(), tag or DEFAULT_NAME, report)
    if quiet:
        output.write(result.image_id)
        return
    output.write(f"{result.reference}: made of {result.description}")
