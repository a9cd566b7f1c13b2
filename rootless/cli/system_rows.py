"""What ``system check``, ``system df`` and ``system prune`` show."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.phrases import ellipsis, familiar, human_size, reclaimed, short_id
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless.engine.check import Checked
    from rootless.engine.disk_usage import DiskUsage, Usage
    from rootless.engine.system_prune import Pruned, SystemPruneRequest

_COUNTED = ("images", "blobs", "layers", "containers", "volumes", "networks")


def show_checked(checked: Checked, *, repair: bool) -> None:
    """Every finding on a line, then a summary."""
    for text in checked.done:
        output.write(f"repaired  {text}")
    for text in checked.remnants:
        output.write(f"left over  {text}")
    for each in checked.findings:
        output.write(f"damaged  {each.kind} {each.name}: {each.problem}")
    counts = checked.counts
    looked = ", ".join(f"{counts[kind]} {kind}" for kind in _COUNTED if counts.get(kind))
    read = f" ({human_size(counts['bytes'])} of blobs)" if counts.get("bytes") else ""
    if not checked.findings:
        output.write(f"Clean: {looked or 'nothing is stored'}{read}")
        return
    output.write(f"Damaged: {len(checked.findings)} of {looked}{read}")
    output.remark(
        "Hint: rootless system check --repair --force also removes what cannot be repaired"
        if repair
        else "Hint: rootless system check --repair"
    )


def checked_document(checked: Checked) -> dict[str, Any]:
    """The same as JSON shows it."""
    return {
        "clean": not checked.findings,
        "checked": checked.counts,
        "findings": [each._asdict() for each in checked.findings],
        "leftOver": list(checked.remnants),
        "repaired": list(checked.done),
    }


USAGE_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Total": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def usage_row(usage: Usage) -> dict[str, object]:
    """A line of ``system df``."""
    share = f" ({100 * usage.reclaimable_bytes // usage.size_bytes}%)" if usage.size_bytes else ""
    return {
        "Type": usage.kind,
        "TotalCount": str(usage.total),
        "Total": str(usage.total),
        "Active": str(usage.active),
        "Size": human_size(usage.size_bytes),
        "Reclaimable": human_size(usage.reclaimable_bytes) + share,
    }


def usage_document(usage: Usage) -> dict[str, Any]:
    """The same in JSON, with docker's words and podman's numbers."""
    return {
        **usage_row(usage),
        "RawSize": usage.size_bytes,
        "RawReclaimable": usage.reclaimable_bytes,
    }


def details_document(usage: DiskUsage) -> dict[str, Any]:
    """Everything that ``-v`` shows."""
    return {
        "Images": [
            {**row, "Size": image.listed.size_bytes, "SharedSize": image.shared_bytes,
             "UniqueSize": image.unique_bytes}
            for row, image in zip(_image_rows(usage), usage.images, strict=True)
        ],
        "Containers": [
            {**row, "Size": each.size_bytes}
            for row, each in zip(_container_rows(usage), usage.containers, strict=True)
        ],
        "Volumes": [
            {"Name": each.volume.name, "Links": len(each.containers), "Size": size}
            for each, size in usage.volumes
        ],
        "BuildCache": [each._asdict() for each in usage.cache],
    }  # fmt: skip


def show_usage(usage: DiskUsage) -> None:
    """The four tables of ``system df -v``, as docker shows them."""
    found = details(usage)
    _section("Images space usage:", found["Images"], _IMAGE_HEADERS)
    _section("\nContainers space usage:", found["Containers"], _CONTAINER_HEADERS)
    _section("\nLocal Volumes space usage:", found["Volumes"], _VOLUME_HEADERS)
    total = human_size(usage.lines[-1].size_bytes)
    _section(f"\nBuild cache usage: {total}", found["BuildCache"], _CACHE_HEADERS)


def details(usage: DiskUsage) -> dict[str, list[dict[str, Any]]]:
    """What a template for ``-v`` is given: docker's four lists, with the fields of the four tables."""
    volumes = [
        {"Name": each.volume.name, "Links": str(len(each.containers)), "Size": human_size(size)}
        for each, size in usage.volumes
    ]
    cache = [
        {
            "ID": short_id(each.name) if each.kind == "layer" else each.name,
            "Type": each.kind,
            "Size": human_size(each.size_bytes),
            "Created": each.created or "-",
            "Shared": "true" if each.shared else "false",
        }
        for each in usage.cache
    ]
    return {
        "Images": _image_rows(usage),
        "Containers": _container_rows(usage),
        "Volumes": volumes,
        "BuildCache": cache,
    }


_IMAGE_HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINER_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "Size": "SIZE",
    "Created": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUME_HEADERS = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_CACHE_HEADERS = {
    "ID": "CACHE ID",
    "Type": "CACHE TYPE",
    "Size": "SIZE",
    "Created": "CREATED",
    "Shared": "SHARED",
}


def _section(title: str, rows: Sequence[dict[str, Any]], headers: dict[str, str]) -> None:
    output.write(f"{title}\n")
    output.listing(rows, headers, shown=tuple(headers))


def _image_rows(usage: DiskUsage) -> list[dict[str, Any]]:
    from rootless.cli.image_rows import row

    kept = [key for key in _IMAGE_HEADERS if not key.endswith("edSize") and key != "UniqueSize"]
    return [
        {
            **{key: value for key, value in row(each.listed, whole=False).items() if key in kept},
            "SharedSize": human_size(each.shared_bytes),
            "UniqueSize": human_size(each.unique_bytes),
        }
        for each in usage.images
    ]


def _container_rows(usage: DiskUsage) -> list[dict[str, Any]]:
    return [
        {
            "ID": each.container.id[:12],
            "Image": familiar(each.container.record["image"]),
            "Command": ellipsis('"' + " ".join(each.container.record["args"]) + '"', 20),
            "Size": human_size(each.size_bytes),
            "Created": each.container.record["created"].partition(".")[0],
            "Status": each.status,
            "Names": each.container.name,
        }
        for each in usage.containers
    ]


def prune_warning(request: SystemPruneRequest) -> Iterable[str]:
    """What is about to go."""
    yield "WARNING! This will remove:"
    yield "  - all containers that do not run"
    yield "  - all networks that no container uses"
    if request.volumes:
        yield "  - all volumes that no container mounts"
    yield (
        "  - all images that no container uses" if request.all else "  - all images without a name"
    )
    yield "  - the whole build cache" if request.all else "  - build cache that cannot be used"
    if request.filters:
        yield f"Only what matches: {' and '.join(request.filters)}"


def show_pruned(pruned: Pruned) -> None:
    """What went, kind by kind, and the space."""
    images = [f"untagged: {each}" for each in pruned.images.untagged]
    images += [f"deleted: {each}" for each in pruned.images.deleted]
    for title, names in (
        ("Deleted Containers:", pruned.containers),
        ("Deleted Networks:", pruned.networks),
        ("Deleted Volumes:", pruned.volumes),
        ("Deleted Images:", images),
        ("Deleted build cache objects:", pruned.steps),
    ):
        if names:
            output.write("\n".join((title, *names, "")))
    output.write(reclaimed(pruned.size_bytes))
