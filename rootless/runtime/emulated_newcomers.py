"""Files that are about to be made, by processes that believe to be somebody: whose they will be.

The kernel makes them.  Where nothing has the name when it is asked for, it is looked for right after.
"""

from __future__ import annotations

import os

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

CREATING = ("open", "openat", "creat", "mkdir", "mkdirat")
_HERE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST = 64
_PATIENCE = 20  # looks, at least a millisecond apart but while calls come in


class _Newcomer(NamedTuple):
    directory: int
    name: bytes
    owner: tuple[int, int]
    looks: int = 0


class Newcomers:
    """What is expected; ``claim`` is called with the directory, the new file and its owner."""

    def __init__(self, claim: Callable[[int, int, tuple[int, int]], None]):
        self._claim = claim
        self._expected: list[_Newcomer] = []

    @property
    def waiting(self) -> bool:
        return bool(self._expected)

    def expect(self, directory: int, name: bytes, owner: tuple[int, int]) -> None:
        """Take over ``directory``, in which nothing may have that name yet."""
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            if len(self._expected) < _MOST:
                self._expected.append(_Newcomer(directory, name, owner))
                return
        except OSError:
            pass
        os.close(directory)

    def settle(self) -> None:
        """Claim what is there by now; forget what does not come."""
        left = []
        for each in self._expected:
            if self._look(each) or each.looks == _PATIENCE:
                os.close(each.directory)
            else:
                left.append(each._replace(looks=each.looks + 1))
        self._expected = left

    def _look(self, each: _Newcomer) -> bool:
        try:
            fd = os.open(each.name, _HERE, dir_fd=each.directory)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            self._claim(each.directory, fd, each.owner)
        except OSError:
            pass  # it is gone again, or on a file system without records
        finally:
            os.close(fd)
        return True
