"""Call a function in a child that stays as it is, or joins a user namespace that is there already."""

from __future__ import annotations

import os

from rootless.kernel import namespace, process
from rootless.typed import TYPE_CHECKING, TypeVar
from rootless.userns.enter import Child, answer_and_exit, become_root

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_SIGKILL = 9


def spawn(function: Callable[[], T]) -> Child[T]:
    """Start ``function`` in a child with the caller's own rights; it dies with the caller."""
    return _spawn(function, None)


def spawn_joined(function: Callable[[], T], user_namespace: int) -> Child[T]:
    """Start ``function`` as root of the user namespace that the descriptor names (setns(2)).

    Only the user namespace is joined: paths still mean the caller's.  Whoever is root in there
    cannot trace the child.
    """
    return _spawn(function, user_namespace)


def _spawn(function: Callable[[], T], user_namespace: int | None) -> Child[T]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        answer_and_exit(lambda: _inside(function, user_namespace), write_end)
    os.close(write_end)
    return Child(pid, read_end)


def _inside(function: Callable[[], T], user_namespace: int | None) -> T:
    process.set_parent_death_signal(_SIGKILL)
    if user_namespace is not None:
        # Undumpable before it joins: then its memory belongs to the outer namespace, and no capability
        # of the inner one reaches it.
        process.set_dumpable(False)
        namespace.join(user_namespace, namespace.CLONE_NEWUSER)
        become_root()
        process.set_dumpable(False)
        process.set_parent_death_signal(_SIGKILL)  # the change of uid cleared it
    return function()
