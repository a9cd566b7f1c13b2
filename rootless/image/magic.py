"""How a file is compressed, by its first bytes."""

from __future__ import annotations

LENGTH = 6  # bytes that tell
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x5d\0\0": "xz",  # the older .lzma, which the same library reads
}


def compression_in(beginning: bytes) -> str:
    """How a file that begins so is compressed: ``gzip``, ``zstd``, ``bzip2``, ``xz`` or ``none``."""
    for magic, name in _MAGIC.items():
        if beginning.startswith(magic):
            return name
    return "none"
