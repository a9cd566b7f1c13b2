"""Compares an unpacked layer with what its blob unpacks to.  CHILD SIDE: as root of the user namespace."""

from __future__ import annotations

import os
import stat

from rootless import files
from rootless.errors import RootlessError
from rootless.kernel.openat2 import open_in_root
from rootless.owners import OVERRIDE_STAT
from rootless.storage.layer_tar import UnpackRequest, unpack
from rootless.storage.stack import DIRECTORY_FLAGS, is_whiteout, list_directory, lstat
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.storage.layer_store import LayerStore

_CHUNK = 1 << 20
_MOST = 5  # differences of a layer that are told; one is as bad as a thousand


class Suspect(NamedTuple):
    """An unpacked layer, and the blob that it was unpacked from or packed into."""

    chain_id: str
    parent: str | None
    diff_id: str
    blob: str
    compression: str


def differences(store: LayerStore, suspect: Suspect) -> list[str]:
    """What is not as in the blob, a sentence each, at most five; none for a layer that is whole.

    Times are not compared: a layer that a build has made keeps those of its container.
    """
    scratch, lock = store.open_scratch("check")
    fd = -1
    try:
        fd = os.open(suspect.blob, os.O_RDONLY | os.O_CLOEXEC)
        os.mkdir(f"{scratch}/diff", 0o755)
        request = UnpackRequest(
            fd, suspect.compression, suspect.diff_id, store.form.whiteouts, store.id_map
        )
        unpack(request, f"{scratch}/diff", lambda: store.stack(suspect.parent))
        return _compare(f"{scratch}/diff", f"{store.directory(suspect.chain_id)}/diff")
    except RootlessError as error:
        return [error.message]
    except OSError as error:
        return [f"cannot be compared with its blob: {error.strerror}"]
    finally:
        if fd >= 0:
            os.close(fd)
        files.remove_tree(scratch, missing_ok=True)
        os.close(lock)


def _compare(wanted: str, found: str) -> list[str]:
    told: list[str] = []
    roots = [os.open(path, DIRECTORY_FLAGS) for path in (wanted, found)]
    waiting = [b""]
    try:
        while waiting:
            path = waiting.pop()
            pair = [open_in_root(root, path or b".", flags=DIRECTORY_FLAGS) for root in roots]
            try:
                for text in _compare_directory(pair[0], pair[1], path, waiting):
                    told.append(text)
                    if len(told) == _MOST:
                        return told
            finally:
                for fd in pair:
                    os.close(fd)
    finally:
        for root in roots:
            os.close(root)
    return told


def _compare_directory(wanted: int, found: int, path: bytes, waiting: list[bytes]) -> Iterator[str]:
    """The differences in one directory; those below that are to be visited are added to ``waiting``."""
    names = list_directory(wanted)
    for name in names:
        place = path + b"/" + name
        shown = os.fsdecode(place)
        expected, actual = lstat(wanted, name), lstat(found, name)
        assert expected is not None
        if actual is None:
            yield f"{shown} is missing"
        elif (word := _difference(expected, actual)) is not None:
            yield f"{shown} has another {word}"
        elif not _same_content(wanted, found, name, expected):
            yield f"{shown} has other content"
        elif stat.S_ISDIR(expected.st_mode):
            waiting.append(place)
    for name in sorted({*list_directory(found)} - {*names}):
        status = lstat(found, name)
        if status is not None and not is_whiteout(status):
            yield f"{os.fsdecode(path + b'/' + name)} does not belong to it"


def _difference(expected: os.stat_result, actual: os.stat_result) -> str | None:
    if stat.S_IFMT(expected.st_mode) != stat.S_IFMT(actual.st_mode):
        return "type"
    if (expected.st_uid, expected.st_gid) != (actual.st_uid, actual.st_gid):
        return "owner"
    if not stat.S_ISLNK(expected.st_mode) and expected.st_mode != actual.st_mode:
        return "mode"
    if stat.S_ISREG(expected.st_mode) and expected.st_size != actual.st_size:
        return "size"
    return "device number" if expected.st_rdev != actual.st_rdev else None


def _same_content(wanted: int, found: int, name: bytes, status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(name, dir_fd=wanted) == os.readlink(name, dir_fd=found)
    if not stat.S_ISREG(status.st_mode):
        return True
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    first, second = (os.open(name, flags, dir_fd=fd) for fd in (wanted, found))
    try:
        if _kept_owner(first) != _kept_owner(second):
            return False
        while chunk := os.read(first, _CHUNK):
            if chunk != _read_all(second, len(chunk)):
                return False
        return not os.read(second, 1)
    finally:
        os.close(first)
        os.close(second)


def _read_all(fd: int, size: int) -> bytes:
    content = b""
    while len(content) < size and (chunk := os.read(fd, size - len(content))):
        content += chunk
    return content


def _kept_owner(fd: int) -> bytes:
    try:
        return os.getxattr(fd, OVERRIDE_STAT)
    except OSError:
        return b""
