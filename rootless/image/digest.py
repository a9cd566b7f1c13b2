"""Digests (OCI image-spec, descriptor.md) and the identifiers made from them."""

from __future__ import annotations

import sys

from rootless.errors import ImageRefused
from rootless.typed import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import _Hash as Hash

Digest = NewType("Digest", str)  # "sha256:<hex>" of bytes as they are stored or transferred
DiffID = NewType("DiffID", str)  # digest of a layer's uncompressed tar
ChainID = NewType("ChainID", str)  # digest that identifies a stack of layers

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_SMALL_BYTES = 1 << 18
_HEX_DIGITS = frozenset("0123456789abcdef")


def parse_digest(text: str) -> Digest:
    """Check that ``text`` is a digest that is safe as a path and that we can verify.

    Raises ImageRefused for an unknown algorithm, a wrong length or a digit that is not lower-case hex.
    """
    algorithm, _, encoded = text.partition(":")
    if _HEX_LENGTH.get(algorithm) != len(encoded) or not _HEX_DIGITS.issuperset(encoded):
        raise ImageRefused(f"{text!r} is not a sha256 or sha512 digest")
    return Digest(text)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of ``content``."""
    if algorithm == "sha256" and len(content) <= _SMALL_BYTES:
        return Digest(f"sha256:{new_sha256(content).hexdigest()}")
    import hashlib

    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")


def new_sha256(content: bytes = b"") -> Hash:
    """A SHA-256 in progress, for little content: OpenSSL's is faster, and takes 4 ms to load."""
    if "hashlib" not in sys.modules:
        try:
            name = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
            builtin: Hash = __import__(name).sha256(content)
            return builtin
        except ImportError:
            pass  # an interpreter that was built without its own
    import hashlib

    return hashlib.sha256(content)


def encoded(digest: str) -> str:
    """The part after the colon, as it appears on disk and in short ids."""
    return digest.partition(":")[2]


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """ChainID of ``diff_id`` on top of ``parent`` (image-spec config.md, "Layer ChainID")."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID(digest_of(f"{parent} {diff_id}".encode()))


def chain_ids(diff_ids: Iterable[DiffID]) -> tuple[ChainID, ...]:
    """The ChainID of every layer of an image, base first."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)


def check_bytes(content: bytes, *, digest: Digest, size_bytes: int, name: str) -> None:
    """Raise ImageRefused unless ``content`` has the size, and then the digest, that it should."""
    if len(content) != size_bytes:
        raise ImageRefused(f"{name} has {len(content)} bytes, not {size_bytes}")
    actual = digest_of(content, digest.partition(":")[0])
    if actual != digest:
        raise ImageRefused(f"{name} has the digest {actual}, not {digest}")


class Verifier:
    """Counts and hashes bytes on their way; one byte too many is refused as soon as it comes."""

    def __init__(self, digest: Digest, size_bytes: int, *, name: str):
        import hashlib

        self._hash = hashlib.new(digest.partition(":")[0])
        self.digest = digest
        self.size_bytes = size_bytes
        self.name = name
        self.done_bytes = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; raises ImageRefused when there are more than announced."""
        self.done_bytes += len(chunk)
        if self.done_bytes > self.size_bytes:
            raise ImageRefused(f"{self.name} is longer than the {self.size_bytes} bytes announced")
        self._hash.update(chunk)

    def finish(self) -> None:
        """Raise ImageRefused unless all bytes came and are the right ones."""
        if self.done_bytes != self.size_bytes:
            raise ImageRefused(f"{self.name} has {self.done_bytes} bytes, not {self.size_bytes}")
        actual = f"{self.digest.partition(':')[0]}:{self._hash.hexdigest()}"
        if actual != self.digest:
            raise ImageRefused(f"{self.name} has the digest {actual}, not {self.digest}")
