"""Commands on images and registries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rootless.cli import output
from rootless.cli.phrases import human_size
from rootless.cli.reporting import Reporting
from rootless.engine import Engine

if TYPE_CHECKING:
    from rootless.engine.registries import Access


def access(given: dict[str, Any]) -> Access:
    """How registries are reached: takes its flags out of ``given``."""
    import os

    from rootless.engine.registries import Access

    for name in ("authfile", "cert_dir"):
        if name in given:
            given[name] = os.path.abspath(given[name])
    return Access(
        creds=given.pop("creds", None),
        authfile=given.pop("authfile", None),
        tls_verify=given.pop("tls_verify", None),
        cert_dir=given.pop("cert_dir", None),
        retry=given.pop("retry", None),
        retry_delay_s=given.pop("retry_delay", None),
    )


def platform_of(given: dict[str, Any]) -> str | None:
    """``--platform``, or what its parts say: takes them out of ``given``."""
    from rootless.cli.values import platform

    parts = platform(*(given.pop(name, None) for name in ("os", "arch", "variant")))
    chosen: str | None = given.pop("platform", None)
    return chosen or parts


def pull(
    images: tuple[str, ...],
    *,
    quiet: bool = False,
    all_tags: bool = False,
    policy: str = "always",
    **given: Any,
) -> None:
    """Download images from a registry."""
    from rootless.engine.images import ensure
    from rootless.engine.pull import PullRequest
    from rootless.engine.pull import pull as pull_all

    engine = Engine.open()
    reach, platform = access(given), platform_of(given)
    for name in images:
        with Reporting(quiet=quiet) as report:
            if all_tags:
                request = PullRequest(name, platform=platform, all_tags=True, access=reach)
                found = [each.image for each in pull_all(engine, request, report)]
            else:
                found = [
                    ensure(
                        engine, name, policy=policy, platform=platform, report=report, access=reach
                    )
                ]
        for image in found:
            output.write(image.image_id.partition(":")[2])


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

    listed = list_images(Engine.open(), ImagesRequest(names, filter, time.time()))
    listed.sort(key=rows.SORT[sort])
    output.listing(
        [rows.row(each, whole=no_trunc) for each in listed],
        rows.HEADERS,
        shown=rows.WITH_DIGESTS if digests else rows.SHOWN,
        format=format,
        quiet="ID" if quiet else None,
        heading=not noheading,
        documents=map(rows.document, listed),
    )


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
