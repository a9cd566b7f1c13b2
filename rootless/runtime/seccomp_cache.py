"""Compiled seccomp filters, kept by the digest of everything they were compiled from.

Compiling takes some 10 ms; a start that finds its filter reads the profile and one small file, and imports
neither the compiler nor json.
"""

from __future__ import annotations

import os

from rootless.errors import InvalidRequest
from rootless.files import read_bytes, write_atomic
from rootless.typed import TYPE_CHECKING, Any

try:  # hashlib would load OpenSSL, 4 ms for nothing
    from _blake2 import blake2b
except ImportError:  # pragma: no cover - an interpreter without its private modules
    from hashlib import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterable

REVISION = 1  # raise it when the compiler or its table changes its output (a test says so)
EMULATION_REVISION = 2  # the same for emulation_filter

_HERE = os.path.dirname(os.path.abspath(__file__))
_DIGEST_SIZE = 32
_MAX_PROFILE_BYTES = 1 << 20


def load_or_compile(
    cache: str,
    *,
    profile: str | None = None,
    capabilities: Iterable[str],
    terminal: bool,
    architecture: str,
    kernel: tuple[int, int],
) -> bytes:
    """The filter for ``profile`` (a file; None is the default one), from the directory ``cache`` if it is there.

    ``capabilities`` are the bounding set, ``kernel`` and ``architecture`` those of uname(2).
    Raises InvalidRequest for a profile that cannot be read or understood.
    """
    text = read_profile(profile or f"{_HERE}/seccomp_default.json")
    names = sorted(capabilities)
    facts = f"{REVISION}\0{architecture}\0{kernel}\0{terminal}\0{' '.join(names)}\0".encode()
    key = blake2b(facts + text, digest_size=_DIGEST_SIZE)
    path = f"{cache}/{key.hexdigest()}"
    cached = _load(path)
    if cached is not None:
        return cached
    import json

    from rootless.runtime.seccomp import compile_filter

    document = _parsed(text, profile)
    program = compile_filter(
        document,
        architecture=architecture,
        capabilities=frozenset(names),
        kernel=kernel,
        numbers=json.loads(read_bytes(f"{_HERE}/syscalls.json")),
        terminal=terminal,
    )
    _store(path, program)
    return program


def load_emulation(
    cache: str, *, capabilities: Iterable[str], architecture: str, stat: bool
) -> tuple[bytes, bytes, dict[tuple[int, int], str]]:
    """What emulation_filter makes for these capabilities, from the directory ``cache`` if it is there."""
    import marshal

    names = sorted(capabilities)
    facts = f"emulation\0{EMULATION_REVISION}\0{architecture}\0{stat}\0{' '.join(names)}".encode()
    path = f"{cache}/{blake2b(facts, digest_size=_DIGEST_SIZE).hexdigest()}"
    cached = _load(path)
    if cached is not None:
        return marshal.loads(cached)  # type: ignore[no-any-return]  # our own, by its digest
    import json

    from rootless.runtime.emulation_filter import compile_emulation

    numbers = json.loads(read_bytes(f"{_HERE}/syscalls.json"))
    compiled = compile_emulation(names, architecture=architecture, numbers=numbers, stat=stat)
    _store(path, marshal.dumps(compiled))
    return compiled


def rules_of(
    profile: str | None, *, capabilities: Iterable[str], architecture: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """The same profile as the runtime-spec's ``linux.seccomp``.  Raises as ``load_or_compile`` does."""
    from rootless.runtime.seccomp import resolved

    return resolved(
        _parsed(read_profile(profile or f"{_HERE}/seccomp_default.json"), profile),
        architecture=architecture,
        capabilities=frozenset(capabilities),
        kernel=kernel,
    )


def _parsed(text: bytes, profile: str | None) -> dict[str, Any]:
    import json

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"seccomp profile {profile}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"seccomp profile {profile} is not a JSON object")
    return document


def read_profile(path: str) -> bytes:
    """The text of a profile.  Raises InvalidRequest when it cannot be read or is too large."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_PROFILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"cannot read seccomp profile {path}: {error.strerror}") from None
    if len(text) > _MAX_PROFILE_BYTES:
        raise InvalidRequest(f"seccomp profile {path} is larger than {_MAX_PROFILE_BYTES} bytes")
    return text


def _load(path: str) -> bytes | None:
    """The program in a cache file, None where there is none or a disk has damaged it."""
    try:
        content = read_bytes(path)
    except OSError:
        return None
    program = content[_DIGEST_SIZE:]
    digest = blake2b(program, digest_size=_DIGEST_SIZE).digest()
    return program if content[:_DIGEST_SIZE] == digest else None


def _store(path: str, program: bytes) -> None:
    digest = blake2b(program, digest_size=_DIGEST_SIZE).digest()
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomic(path, digest + program, durable=False)
    except OSError:
        pass  # a full disk or a read-only home costs time, not the container
