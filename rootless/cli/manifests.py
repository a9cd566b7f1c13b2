"""Commands on indexes of images for several platforms."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.registries import access
from rootless.cli.reporting import Reporting
from rootless.engine import Engine, manifests
from rootless.errors import InvalidRequest
from rootless.typed import Any


def manifest_create(
    name: str,
    images: tuple[str, ...] = (),
    *,
    all: bool = False,
    amend: bool = False,
    annotation: tuple[str, ...] = (),
    quiet: bool = False,
    **given: Any,
) -> None:
    """Make an index, empty or of images."""
    request = manifests.CreateRequest(name, images, all, amend, annotation, access(given))
    with Reporting(quiet=quiet) as report:
        output.write(manifests.create(Engine.open(), request, report))


def manifest_add(
    name: str,
    images: tuple[str, ...],
    *,
    all: bool = False,
    quiet: bool = False,
    **given: Any,
) -> None:
    """Put images into an index; what is not stored is pulled."""
    reach = access(given)
    request = manifests.AddRequest(name, images, all, manifests.Described(**given), reach)
    with Reporting(quiet=quiet) as report:
        output.write(manifests.add(Engine.open(), request, report))


def manifest_annotate(
    name: str, image: str | None = None, *, index: bool = False, **given: Any
) -> None:
    """Change what an index says of an image in it, or of itself."""
    if index == (image is not None):
        raise InvalidRequest("name an image of the index, or --index for itself")
    described = manifests.Described(**given)
    output.write(manifests.annotate(Engine.open(), name, image, described))


def manifest_inspect(name: str, **given: Any) -> None:
    """Show an index, stored or of a registry."""
    output.document(manifests.inspect(Engine.open(), name, access(given)))


def manifest_push(
    name: str,
    destination: str | None = None,
    *,
    all: bool = True,
    purge: bool = False,
    quiet: bool = False,
    **given: Any,
) -> None:
    """Upload an index with its images."""
    from rootless.cli.registries import push

    if not all:
        raise InvalidRequest(
            "an index without its images is of no use", hint="rootless push IMAGE for one of them"
        )
    engine = Engine.open()
    if not manifests.exists(engine, name):
        raise InvalidRequest(f"{name} is no index", hint=f"rootless push {name} for an image")
    push(name, destination, quiet=quiet, **given)
    if purge:
        manifests.remove(engine, (name,))


def manifest_remove(name: str, image: str) -> None:
    """Take an image out of an index."""
    output.write(manifests.remove_member(Engine.open(), name, image))


def manifest_rm(names: tuple[str, ...]) -> None:
    """Remove indexes."""
    for line in manifests.remove(Engine.open(), names):
        output.write(line)


def manifest_exists(name: str) -> int:
    """Exit with 0 if there is an index of that name, with 1 if not."""
    return 0 if manifests.exists(Engine.open(), name) else 1
