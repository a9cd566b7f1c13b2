"""Platforms: which entry of an index fits a machine.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest, NotFound
from rootless.image.documents import INDEXES, MANIFESTS
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.image.documents import Descriptor, ImageConfig, ImageIndex, Platform

_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
_ARM_VARIANTS = {"armv8l": "v8", "armv7l": "v7", "armv6l": "v6"}
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
_PLAIN = {"amd64": "v1", "arm64": "v8", "arm": "v7"}  # what the absence of a variant means


def platform_of_machine(machine: str) -> Platform:
    """The platform of a Linux machine as uname(2) names it."""
    platform: Platform = {"architecture": _MACHINES.get(machine, machine), "os": "linux"}
    if machine in _ARM_VARIANTS:
        platform["variant"] = _ARM_VARIANTS[machine]
    return platform


def parse_platform(text: str) -> Platform:
    """Read ``os/architecture[/variant]``, or an architecture alone."""
    parts = text.lower().split("/")
    if len(parts) == 1:
        parts.insert(0, "linux")
    if len(parts) > 3 or not all(parts):
        raise InvalidRequest(
            f"{text!r} is not a platform", hint="write linux/arm64 or linux/arm/v7"
        )
    platform: Platform = {"architecture": _ALIASES.get(parts[1], parts[1]), "os": parts[0]}
    if len(parts) == 3:
        platform["variant"] = parts[2]
    elif parts[1] == "armhf":
        platform["variant"] = "v7"
    return platform


def platform_text(platform: Platform | ImageConfig) -> str:
    """``linux/arm/v7``."""
    variant = platform.get("variant")
    return f"{platform['os']}/{platform['architecture']}" + (f"/{variant}" if variant else "")


def choose_manifest(index: ImageIndex, platform: Platform, *, name: str) -> Descriptor:
    """The entry that fits ``platform`` best; among equals the first wins (image-index.md).

    Raises NotFound that lists the platforms there are.
    """
    best: tuple[int, Descriptor] | None = None
    for entry in index["manifests"]:
        rank = _rank(entry, platform)
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, entry)
    if best is None:
        raise NotFound(
            f"{name} has no image for {platform_text(platform)}",
            hint=f"it has {', '.join(platforms_of(index)) or 'no images at all'}; choose with --platform",
        )
    return best[1]


def platforms_of(index: ImageIndex) -> tuple[str, ...]:
    """What an index offers, in its order and without attestations."""
    return tuple(
        platform_text(entry["platform"])
        for entry in index["manifests"]
        if "platform" in entry and entry["platform"]["os"] != "unknown"
    )


def matches(config: ImageConfig, platform: Platform) -> bool:
    """Whether an image runs on ``platform``; an image that does not say is believed to."""
    if not config["architecture"]:
        return True
    return _variant_rank(config, platform) is not None


def _rank(entry: Descriptor, platform: Platform) -> int | None:
    """How far an entry is from what was asked for; None when it does not fit at all."""
    if entry["mediaType"] not in (*MANIFESTS, *INDEXES):
        return None
    if "platform" not in entry:
        # An entry that does not say may be anything: better than nothing, worse than a match.
        return 100
    return _variant_rank(entry["platform"], platform)


def _variant_rank(offered: Platform | ImageConfig, wanted: Platform) -> int | None:
    if (offered["os"], offered["architecture"]) != (wanted["os"], wanted["architecture"]):
        return None
    plain = _PLAIN.get(wanted["architecture"], "")
    have = offered.get("variant") or plain
    want = wanted.get("variant") or plain
    if have == want:
        return 0
    # A machine runs what was made for an older variant of its architecture: v7 runs v6.
    if have[:1] == want[:1] == "v" and have[1:].isdigit() and want[1:].isdigit():
        distance = int(want[1:]) - int(have[1:])
        return distance if distance > 0 else None
    return None
