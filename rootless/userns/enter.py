"""Enter a user namespace: HOST SIDE fork and id maps; CHILD SIDE the function.

The child is root of a new user namespace.  It is how everything that touches files of subordinate ids
is done: unpacking, committing, deleting.
"""

from __future__ import annotations

import os
from errno import ENOSPC

from rootless.errors import HostLacks, RootlessError
from rootless.kernel import namespace
from rootless.typed import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from rootless.userns.maps import write_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.userns.idmap import IdMap

T = TypeVar("T")
_SIGKILL = 9


class Child(Generic[T]):
    """A process in a user namespace that computes something; ``wait`` must be called once."""

    def __init__(self, pid: int, answer: int):
        self.pid = pid
        self._answer = answer

    def wait(self) -> T:
        """What the function returned.

        Raises what it raised, when that was a RootlessError or an OSError; RuntimeError for a bug in
        it or a death by signal.
        """
        import marshal

        try:
            with open(self._answer, "rb") as stream:
                answer = stream.read()
        finally:
            _, status = os.waitpid(self.pid, 0)
        if not answer:
            raise RuntimeError(f"a child in the user namespace died with wait status {status}")
        kind, value = marshal.loads(answer)
        if kind != "value":
            _raise_again(kind, value)
        return value  # type: ignore[no-any-return]  # marshal keeps no types

    def kill(self) -> None:
        """End it at once; ``wait`` then raises RuntimeError."""
        os.kill(self.pid, _SIGKILL)


def _raise_again(kind: str, value: tuple[object, ...]) -> NoReturn:
    from rootless import errors

    if kind == "OSError":
        raise OSError(*value)
    if kind == "bug":
        raise RuntimeError(str(value[0]))
    message, hint, exit_code = value
    raised: RootlessError = getattr(errors, kind)(message, hint=hint, exit_code=exit_code)
    raise raised


def call(function: Callable[[], T], id_map: IdMap, *, mount_namespace: bool = False) -> T:
    """Run ``function`` as root of a new user namespace and return what it returns.

    The result must be something marshal can write (numbers, strings, bytes, tuples, lists, dicts).
    With ``mount_namespace`` it also has private mounts, which end with it.
    """
    return spawn(function, id_map, mount_namespace=mount_namespace).wait()


def spawn(function: Callable[[], T], id_map: IdMap, *, mount_namespace: bool = False) -> Child[T]:
    """Start ``function`` as ``call`` does, and go on; it dies with the caller.

    The caller should be single-threaded: fork(2) copies locks that other threads hold.
    """
    answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    mapped_read, mapped_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(answer_read)
        os.close(ready_read)
        os.close(mapped_write)
        _child(function, mount_namespace, ready_write, mapped_read, answer_write)
    os.close(answer_write)
    os.close(ready_write)
    os.close(mapped_read)
    try:
        if os.read(ready_read, 1) != b"U":
            _raise_unshare_failure(pid, answer_read)
        write_maps(pid, id_map)
        os.write(mapped_write, b"M")
    except BaseException:
        os.close(answer_read)
        _reap(pid)
        raise
    finally:
        os.close(ready_read)
        os.close(mapped_write)
    return Child(pid, answer_read)


def _raise_unshare_failure(pid: int, answer_read: int) -> NoReturn:
    import marshal

    with open(answer_read, "rb", closefd=False) as stream:
        answer = stream.read()
    number = marshal.loads(answer)[1][0] if answer else 0
    if number == ENOSPC:  # a count is used up, and no disk is full
        raise HostLacks(
            "cannot create a user namespace: this user has as many as are allowed",
            hint="an administrator can raise the sysctl user.max_user_namespaces",
        )
    words = os.strerror(number) if number else "the child died"
    raise HostLacks(f"cannot create a user namespace: {words}", hint="rootless doctor")


def _reap(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _child(
    function: Callable[[], T],
    mount_namespace: bool,
    ready_write: int,
    mapped_read: int,
    answer_write: int,
) -> NoReturn:
    """The forked child: never returns into the caller's stack."""
    from rootless.kernel import process

    def inside() -> T:
        process.set_parent_death_signal(_SIGKILL)
        namespace.unshare(namespace.CLONE_NEWUSER)
        os.write(ready_write, b"U")
        os.close(ready_write)
        if os.read(mapped_read, 1) != b"M":
            os._exit(125)
        os.close(mapped_read)
        become_root()
        process.set_parent_death_signal(_SIGKILL)  # the change of uid cleared it
        if mount_namespace:
            from rootless.kernel import mount

            namespace.unshare(namespace.CLONE_NEWNS)
            mount.propagate("/", mount.MS_PRIVATE | mount.MS_REC)
        return function()

    answer_and_exit(inside, answer_write)


def answer_and_exit(function: Callable[[], T], answer_write: int) -> NoReturn:
    """CHILD SIDE: send what ``function`` returns or raises to where ``Child.wait`` reads it, and exit."""
    import marshal

    answer: Any = ("bug", ("no answer",))
    try:
        answer = ("value", function())
    except RootlessError as error:
        answer = (type(error).__name__, (error.message, error.hint, error.exit_code))
    except OSError as error:
        answer = ("OSError", (error.errno, error.strerror, error.filename))
    except BaseException:
        import traceback

        answer = ("bug", (traceback.format_exc(),))
    finally:
        try:
            with open(answer_write, "wb") as stream:
                stream.write(marshal.dumps(answer))
        finally:
            os._exit(0)


def maps_of(place: str) -> IdMap:
    """The maps of the user namespace ``place`` as seen from here.  Raises HostLacks.

    Only /proc/PID shows them, so a child goes there.
    """
    from rootless.userns.idmap import IdMap, IdRange

    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    done_read, done_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(done_write)
            namespace.join(os.open(place, os.O_RDONLY | os.O_CLOEXEC), namespace.CLONE_NEWUSER)
            os.write(ready_write, b"R")
            os.read(done_read, 1)
        finally:
            os._exit(0)
    try:
        os.close(ready_write)
        if not os.read(ready_read, 1):
            raise HostLacks(f"cannot enter the user namespace {place}")
        maps = []
        for kind in ("uid", "gid"):
            with open(f"/proc/{pid}/{kind}_map", encoding="ascii") as file:
                lines = [line.split() for line in file]
            maps.append(tuple(IdRange(*map(int, words)) for words in lines))
        return IdMap(maps[0], maps[1], "parent")
    finally:
        for fd in (done_write, done_read, ready_read):
            os.close(fd)
        os.waitpid(pid, 0)


def become_root() -> None:
    """Be 0:0 in the current user namespace, with no supplementary groups where that is allowed."""
    try:
        os.setgroups(())
    except PermissionError:
        pass  # denied with a single-id map; the caller's groups stay, and map to nobody
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def in_child(function: Callable[[], None]) -> None:
    """Call ``function`` in a forked child and wait: the first process after unshare(CLONE_NEWPID).

    Raises OSError with the errno of the one that ``function`` raised.
    """
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            function()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code) if code > 0 else "the child died")
