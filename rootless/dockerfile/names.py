"""Whether a text could name an image or a platform, for the linter.  Pure.

``image.reference`` is the authority on images; vocabularies do not import each other, and the linter
needs no more than yes or no.
"""

from __future__ import annotations

import re

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG_AND_DIGEST = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*{_TAG_AND_DIGEST}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_PLATFORM_PART = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEMS = (
    *("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux"),
    *("nacl", "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows", "zos", "macos"),
)
_ARCHITECTURES = {
    **dict.fromkeys(("amd64", "x86_64", "x86-64"), "amd64"),
    **dict.fromkeys(("386", "i386"), "386"),
    **dict.fromkeys(("arm64", "aarch64"), "arm64"),
    **dict.fromkeys(("arm", "armhf", "armel"), "arm"),
    **{name: name for name in ("loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64")},
    **{name: name for name in ("ppc64le", "riscv64", "s390x", "wasm")},
}


def is_image_name(text: str) -> bool:
    """Whether docker would accept the text as the name of an image."""
    return (
        len(text) <= 1024
        and _IDENTIFIER.fullmatch(text) is None
        and _IMAGE.fullmatch(text) is not None
    )


def platform_parts(text: str, *, default: str) -> tuple[str, str] | None:
    """Operating system and architecture of a platform, or None; ``default`` fills in what is missing."""
    parts = text.lower().split("/")
    parts[0] = parts[0].partition("(")[0]
    if len(parts) > 3 or not all(_PLATFORM_PART.fullmatch(part) for part in parts):
        return None
    default_system, _, rest = default.partition("/")
    if len(parts) > 1:
        if parts[0] in _ARCHITECTURES and parts[0] not in _SYSTEMS and len(parts) == 2:
            return default_system, _ARCHITECTURES[parts[0]]
        return parts[0], _ARCHITECTURES.get(parts[1], parts[1])
    if parts[0] in _SYSTEMS:
        return parts[0], rest.partition("/")[0]
    architecture = _ARCHITECTURES.get(parts[0])
    return (default_system, architecture) if architecture else None
