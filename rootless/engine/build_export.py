"""``build --output``: the result as files, or as an image somewhere else."""

from __future__ import annotations

import os

from rootless import files
from rootless.build.archive import write_tree, write_trees
from rootless.build.copy import place_entry
from rootless.build.placement import Placement
from rootless.build.selection import Item, View, walk
from rootless.build.trees import read_only
from rootless.engine.registries import access_of
from rootless.errors import InvalidRequest
from rootless.runtime.mounted import mount_rootfs
from rootless.storage.attributes import Owners
from rootless.typed import TYPE_CHECKING
from rootless.userns import enter

if TYPE_CHECKING:
    from rootless.build.grammar import Output
    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.engine.build_results import Built
    from rootless.events import Report
    from rootless.image.documents import Descriptor
    from rootless.image.reference import Reference
    from rootless.rootfs import Rootfs


def export(
    engine: Engine,
    output: Output,
    builds: list[Built],
    *,
    names: tuple[Reference, ...],
    descriptor: Descriptor,
    report: Report,
    scratch: str,
) -> None:
    """Do what one ``-o`` asks for."""
    if output.type in ("local", "tar"):
        _export_files(engine, output, builds, scratch)
    elif output.type in ("oci", "docker"):
        _export_image(engine, output, [str(name) for name in names] or [descriptor["digest"]])


def push(
    engine: Engine, request: BuildRequest, names: tuple[Reference, ...], report: Report
) -> None:
    """Push what was built under each of its names."""
    from rootless.engine.push import PushRequest
    from rootless.engine.push import push as push_image

    if not names:
        raise InvalidRequest("--push needs a name", hint="-t NAME")
    for name in names:
        push_image(engine, PushRequest(str(name), access=access_of(request)), report)


def _export_image(engine: Engine, output: Output, names: list[str]) -> None:
    """As an archive, or with tar=false as a layout directory."""
    from rootless.engine.save import SaveRequest, save

    archive = "oci-archive" if output.type == "oci" else "docker-archive"
    place = None if output.destination == "-" else output.destination
    save(engine, SaveRequest(tuple(names), place, format=archive if output.tar else "oci-dir"))


def _export_files(engine: Engine, output: Output, builds: list[Built], scratch: str) -> None:
    """Of several platforms each has a directory, as docker does it; a tar is one for all."""
    trees: dict[str, tuple[Rootfs, str]] = {}
    for built in builds:
        bundle = f"{scratch}/export-{files.random_name(4)}"
        os.makedirs(f"{bundle}/rootfs", mode=0o700)
        name = built.platform.replace("/", "_") if len(builds) > 1 else ""
        rootfs = read_only(engine.driver.rootfs(built.chain, bundle))
        trees[name] = rootfs, f"{bundle}/rootfs"
    if output.type == "tar":
        _export_tar(engine, trees, output.destination)
        return
    for name, (rootfs, place) in trees.items():
        _export_directory(engine, rootfs, place, os.path.join(output.destination, name))


def _export_directory(engine: Engine, rootfs: Rootfs, place: str, target: str) -> None:
    """The files as the caller's own, whoever owns them in the image."""
    os.makedirs(target, exist_ok=True)
    top = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    id_map = engine.id_map

    def work() -> None:
        os.umask(0)
        view = View(mount_rootfs(rootfs, place), "image")
        placement = Placement(top, owners=Owners(id_map), keep_owners=False)
        for entry in walk(view, Item("", "", True)):
            place_entry(placement, view, entry, entry.path)
        placement.finish()

    try:
        enter.call(work, id_map, mount_namespace=True)
    finally:
        os.close(top)


def _export_tar(engine: Engine, trees: dict[str, tuple[Rootfs, str]], target: str) -> None:
    """A tar with the owners of the image."""
    if target == "-":
        fd = os.dup(1)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(target, flags, 0o644)

    def work() -> None:
        views = {
            name: View(mount_rootfs(rootfs, place), "image")
            for name, (rootfs, place) in trees.items()
        }
        if len(views) == 1:
            write_tree(next(iter(views.values())), fd)
        else:
            write_trees(views, fd)

    try:
        enter.call(work, engine.id_map, mount_namespace=True)
    finally:
        os.close(fd)
