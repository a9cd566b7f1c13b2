"""Use cases on the whole of what a user has stored: run a program among the files, remove everything."""

from __future__ import annotations

import os

from rootless import files
from rootless.errors import LaunchFailed, RootlessError, StoreFailed
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine

_SIGINT, _SIGQUIT, _SIGPIPE = 2, 3, 13


def unshare(engine: Engine, args: tuple[str, ...]) -> int:
    """Run a program as root of the user namespace that the store's files belong to; its exit code.

    Raises LaunchFailed (126, 127) when it cannot be executed.
    """
    import signal

    from rootless.userns import enter

    # The terminal's Ctrl-C is for the program, as system(3) does.
    saved = [(number, signal.signal(number, signal.SIG_IGN)) for number in (_SIGINT, _SIGQUIT)]
    try:
        return enter.call(lambda: _execute(args), engine.id_map, mount_namespace=True)
    finally:
        for number, handler in saved:
            signal.signal(number, handler)


def _execute(args: tuple[str, ...]) -> int:
    """CHILD SIDE: the program as a child of ours, with the signals as it expects them."""
    try:
        pid = os.posix_spawnp(args[0], args, os.environ, setsigdef=(_SIGINT, _SIGQUIT, _SIGPIPE))
    except FileNotFoundError:
        raise LaunchFailed(f"no program {args[0]}", exit_code=127) from None
    except OSError as error:
        raise LaunchFailed(f"cannot execute {args[0]}: {error.strerror}", exit_code=126) from None
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def reset() -> None:
    """Remove every container, image and volume, the cache and all state; settings stay.

    Opens no store, so it also works on a damaged one.  Raises StoreFailed for what it cannot remove.
    """
    from rootless.engine import Engine
    from rootless.host import HostFacts
    from rootless.paths import discover
    from rootless.userns import enter

    paths = discover()
    engine = Engine(paths, HostFacts(paths))
    _end_containers(engine)
    roots = [engine.paths.run, engine.paths.data, engine.paths.cache]
    left = enter.call(lambda: [path for path in roots if not _remove(path)], engine.id_map)
    if left:
        raise StoreFailed(
            f"cannot remove all of {' and '.join(left)}",
            hint="some files belong to ids that are not yours any more: ask an administrator",
        )


def _end_containers(engine: Engine) -> None:
    from rootless.engine.removal import remove
    from rootless.runtime import container as store

    for container_id in store.ids_of(engine.paths):
        try:
            remove(engine, store.load(engine.paths, container_id), force=True)
        except (RootlessError, OSError, KeyError, ValueError, TypeError):
            continue  # a damaged one: its files go with the rest


def _remove(path: str) -> bool:
    try:
        files.remove_tree(path, missing_ok=True)
    except OSError:
        return False
    return True
