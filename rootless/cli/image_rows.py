"""What ``images`` and ``history`` show: the cells of a row, and the JSON document."""

from __future__ import annotations

import time

from rootless.cli.phrases import ago, ellipsis, familiar, human_size, short_id
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.image_list import ListedImage
    from rootless.engine.images import HistoryLine

_NONE = "<none>"
_STEP_WIDTH = 45
SHOWN = ("Repository", "Tag", "ID", "CreatedSince", "Size")
WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Created": "CREATED",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
    "ReadOnly": "R/O",
    "Labels": "LABELS",
}
HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
    "Created": "CREATED",
    "CreatedAt": "CREATED AT",
}
SORT: dict[str, Callable[[ListedImage], Any]] = {
    "created": lambda each: -each.created_s,
    "id": lambda each: each.image.image_id,
    "repository": lambda each: each.reference or "~",
    "size": lambda each: each.size_bytes,
    "tag": lambda each: _split(each.reference)[1],
}


def _split(reference: str) -> tuple[str, str]:
    """Repository and tag as docker shows them."""
    name, at, _ = familiar(reference).partition("@")
    repository, colon, tag = name.rpartition(":")
    if at or not colon or "/" in tag:
        return name or _NONE, _NONE
    return repository, tag


def row(listed: ListedImage, *, whole: bool) -> dict[str, object]:
    """The fields that templates know, as text."""
    repository, tag = _split(listed.reference)
    image_id = listed.image.image_id
    labels = listed.image.container_config.get("Labels") or {}
    return {
        "Repository": repository,
        "Tag": tag,
        "Digest": listed.digest,
        "ID": image_id if whole else short_id(image_id),
        "CreatedSince": ago(time.time() - listed.created_s) if listed.created_s else "N/A",
        "CreatedAt": _local_time(listed.created_s),
        "Created": ago(time.time() - listed.created_s) if listed.created_s else "N/A",
        "Size": human_size(listed.size_bytes),
        "VirtualSize": human_size(listed.size_bytes),
        "Containers": str(listed.containers),
        "ReadOnly": listed.read_only,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
    }


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def document(listed: ListedImage) -> dict[str, Any]:
    """The same as ``--format json`` shows it, in podman's words."""
    image = listed.image
    return {
        "Id": image.image_id.partition(":")[2],
        "Names": [listed.reference] if listed.reference else [],
        "RepoTags": [listed.reference] if "@" not in listed.reference and listed.reference else [],
        "Digest": listed.digest,
        "Created": int(listed.created_s),
        "CreatedAt": image.config.get("created", ""),
        "Size": listed.size_bytes,
        "Containers": listed.containers,
        "ReadOnly": listed.read_only,
        "Dangling": listed.is_dangling,
        "Os": image.config["os"],
        "Arch": image.config["architecture"],
        "Labels": image.container_config.get("Labels") or {},
    }


def history_row(line: HistoryLine, *, whole: bool, human: bool) -> dict[str, object]:
    """A step of an image's making."""
    from rootless.cli.phrases import seconds_since_1970

    created = seconds_since_1970(line.created) if line.created else 0
    image_id = line.image_id or "<missing>"
    step = line.created_by.replace("\t", " ")
    return {
        "ID": image_id if whole or not line.image_id else short_id(image_id),
        "CreatedSince": (ago(time.time() - created) if human else line.created) if created else "",
        "CreatedBy": step if whole else ellipsis(step, _STEP_WIDTH),
        "Size": human_size(line.size_bytes) if human else str(line.size_bytes),
        "Comment": line.comment,
        "Created": line.created,
        "CreatedAt": line.created,
    }
