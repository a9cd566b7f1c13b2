"""Crash-safe primitives: whole-file writes, scratch directories, locks and the trash.

The rule (docs/state.md): things appear and vanish by rename on one file system, so a reader sees all
or nothing, and whatever a killed process leaves lies in ``scratch/`` or ``trash/`` with no lock held.
"""

from __future__ import annotations

import os
from errno import EBUSY, ENOTEMPTY
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from rootless.errors import Conflict, InvalidRequest
from rootless.lean import contextmanager
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_DEEP = 64  # levels of a tree that is being removed for which descriptors are held


def random_name(size_bytes: int = 8) -> str:
    """A name nobody else has: lower-case hex of that many random bytes."""
    return os.urandom(size_bytes).hex()


def write_atomic(path: str, content: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace the file at ``path`` as one step; with ``durable`` it also survives a power cut."""
    temporary = f"{path}.{random_name()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, content)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


@contextmanager
def whole_file(path: str, *, mode: int = 0o666, instead: str = "name a file") -> Iterator[int]:
    """A descriptor to write to; what is written takes the place at ``path`` when all went well.

    A device or FIFO is written to as it is.  Raises Conflict for a directory, with the hint
    ``instead``, and InvalidRequest for a place that cannot be written to.
    """
    if os.path.isdir(path):
        raise Conflict(f"{path} is a directory", hint=instead)
    special = os.path.exists(path) and not os.path.isfile(path)
    part = path if special else f"{path}.{random_name(4)}.part"
    flags = os.O_WRONLY if special else os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(part, flags | os.O_CLOEXEC, mode)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None
    try:
        yield fd
        if not special:
            os.rename(part, path)
    except BaseException:
        if not special:
            os.unlink(part)
        raise
    finally:
        os.close(fd)


def write_all(fd: int, content: bytes | memoryview) -> None:
    """write(2) until all of ``content`` is written."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def read_bytes(path: str) -> bytes:
    """The whole content of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def text_or_empty(path: str) -> str:
    """The text of a file, whatever bytes are in it; empty where it is missing or may not be read."""
    try:
        return read_bytes(path).decode(errors="replace")
    except OSError:
        return ""


def names_in(directory: str) -> list[str]:
    """What lies in a directory, sorted; nothing where there is no such directory."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def discard(path: str) -> None:
    """Unlink a file that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_directory(path: str) -> None:
    """Make renames and links in the directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def lock(path: str, *, shared: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold flock(2) on the lock file at ``path``; yields its descriptor.

    Raises Conflict when ``wait`` is false and another process holds it.
    """
    fd = open_lock(path, shared=shared, wait=wait)
    try:
        yield fd
    finally:
        os.close(fd)


def open_lock(path: str, *, shared: bool = False, wait: bool = True) -> int:
    """Take the lock and return the descriptor that holds it; closing it gives the lock up."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(fd, (LOCK_SH if shared else LOCK_EX) | (0 if wait else LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        raise Conflict(f"{path} is in use by another process") from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_locked(path: str) -> bool:
    """Whether some process holds the lock; a missing file is not locked."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        flock(fd, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_at(fd: int, path: str) -> bool:
    """Whether ``path`` still leads to the file that ``fd`` is open on."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def scratch(parent: str, purpose: str) -> Iterator[str]:
    """A fresh locked directory under ``parent``; removed at the end unless it was published.

    Prune skips it while the lock is held.  What other users own in it must be removed by the caller
    from inside the user namespace (``storage.remove``).
    """
    path, fd = open_scratch(parent, purpose)
    try:
        yield path
    finally:
        remove_tree(path, missing_ok=True)
        os.close(fd)


def open_scratch(parent: str, purpose: str) -> tuple[str, int]:
    """A fresh directory under ``parent`` and the descriptor that holds its lock."""
    os.makedirs(parent, mode=0o700, exist_ok=True)
    while True:
        path = f"{parent}/{purpose}-{random_name()}"
        os.mkdir(path, 0o700)
        fd = lock_directory(path, wait=True)
        if fd is not None:
            return path, fd


def lock_directory(path: str, *, wait: bool) -> int | None:
    """Lock a directory; None when somebody else holds the lock or has taken the directory away.

    Between mkdir(2) and flock(2) nobody holds it, so a sweep may be first: then it is gone here.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        flock(fd, LOCK_EX | (0 if wait else LOCK_NB))
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def publish(path: str, target: str) -> bool:
    """Rename a finished scratch directory to its place; False when somebody else was first."""
    try:
        os.rename(path, target)
    except OSError:
        if os.path.isdir(target):
            return False
        raise
    return True


def remove_tree(path: str, *, missing_ok: bool = False) -> None:
    """Remove a directory with all that is in it, also where a mode forbids its owner to.

    Works with directory descriptors, so a racing symlink is never followed, and however deep it is.
    """
    parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_at(parent, os.path.basename(path))
    except FileNotFoundError:
        if not missing_ok:
            raise
    finally:
        os.close(parent)


def remove_but_open(path: str) -> None:
    """Remove a tree but for what is open in it, where that stays: NFS and FUSE keep it, renamed."""
    try:
        remove_tree(path, missing_ok=True)
    except OSError as error:
        if error.errno not in (ENOTEMPTY, EBUSY):
            raise


def remove_at(parent: int, name: str | bytes) -> None:
    """Remove what is called ``name`` in an open directory, whatever it is."""
    top = _unlink_or_open(parent, name)
    if top is None:
        return
    levels: list[tuple[int, str | bytes, int, list[str]]] = [(parent, name, top, os.listdir(top))]
    try:
        while levels:
            holder, own_name, fd, names = levels[-1]
            if not names:
                os.rmdir(own_name, dir_fd=holder)
                os.close(fd)
                levels.pop()
                continue
            child = names.pop()
            child_fd = _unlink_or_open(fd, child)
            if child_fd is None:
                continue
            if len(levels) < _DEEP:
                levels.append((fd, child, child_fd, os.listdir(child_fd)))
                continue
            # A program can make trees deeper than there are descriptors: continue at the top.
            os.close(child_fd)
            moved = random_name()
            os.rename(child, moved, src_dir_fd=fd, dst_dir_fd=top)
            levels[0][3].append(moved)
    finally:
        for level in levels:
            os.close(level[2])


def _unlink_or_open(parent: int, name: str | bytes) -> int | None:
    """Unlink a file; give back a descriptor of a directory, which is writable then."""
    try:
        os.unlink(name, dir_fd=parent)
        return None
    except (IsADirectoryError, PermissionError) as error:  # a directory is EPERM on some systems
        path = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            mode = os.fstat(path).st_mode
            if mode & 0o170000 != 0o040000:
                raise error from None
            if mode & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{path}", 0o700)
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=path)
        finally:
            os.close(path)
