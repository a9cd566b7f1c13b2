"""``cp``: files between containers and the host, both ways, and tar streams."""

from __future__ import annotations

import os

from rootless.engine.trees import Host, Running, Stopped, open_container
from rootless.errors import InvalidRequest, RootlessError
from rootless.events import Notice, ignore
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.container_requests import CopyRequest
    from rootless.events import Report
    from rootless.storage.copies import Target
    from rootless.userns.enter import Child

Place: TypeAlias = "Host | Running | Stopped"


class _End(NamedTuple):
    """One side of a copy; ``container`` is empty for the host."""

    container: str
    path: str

    @property
    def is_stream(self) -> bool:
        return not self.container and self.path == "-"

    @property
    def where(self) -> str:
        """For messages."""
        return f"in container {self.container}" if self.container else "on this host"


def parse_end(text: str) -> tuple[str, str]:
    """Container and path: ``NAME:/path``, else a path of the host, which may begin with / or a dot.

    A path in a container that is not absolute begins at its root.  Raises InvalidRequest.
    """
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        if not text:
            raise InvalidRequest("an empty path cannot be copied")
        return "", text
    if not name or not path:
        raise InvalidRequest(f"{text!r} is no CONTAINER:PATH")
    return name, path if path.startswith("/") else f"/{path}"


def copy(engine: Engine, request: CopyRequest, report: Report = ignore) -> None:
    """Copy.  Raises NotFound, InvalidRequest, Conflict; what was copied before that stays."""
    source, target = (_End(*parse_end(each)) for each in (request.source, request.target))
    if not source.container and not target.container:
        raise InvalidRequest(
            "neither the source nor the target is in a container", hint="write it as CONTAINER:PATH"
        )
    opened: list[Place] = []
    try:
        here = there = None
        if not source.is_stream:
            here = _open(engine, source, as_root=request.archive)
            opened.append(here)
        if not target.is_stream:
            same = source.container and target.container == source.container
            there = here if same else _open(engine, target, as_root=request.archive)
            assert there is not None
            opened.append(there)
        notices = _run(engine, (source, here), (target, there), request)
    finally:
        for place in dict.fromkeys(opened):
            place.close()
    for notice in notices:
        report(Notice(notice, "warning"))


def _open(engine: Engine, end: _End, *, as_root: bool) -> Place:
    if end.container:
        return open_container(engine, store.find(engine.paths, end.container))
    return Host(engine, as_root=as_root)


def _run(
    engine: Engine,
    source: tuple[_End, Place | None],
    target: tuple[_End, Place | None],
    request: CopyRequest,
) -> list[str]:
    (origin, here), (goal, there) = source, target
    if here is None:
        _refuse_terminal(0, "standard input is a terminal and no tar archive")
        assert there is not None
        return _receiver(there, _target(engine, origin, goal, request), 0).wait() or []
    if there is None:
        _refuse_terminal(1, "an archive is not written to a terminal")
        _sender(origin, here, request, (1, -1), bare=True).wait()
        return []
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    sender = _sender(origin, here, request, (write_end, read_end), bare=False)
    os.close(write_end)
    try:
        receiver = _receiver(there, _target(engine, origin, goal, request), read_end)
    except BaseException:
        sender.kill()
        raise
    finally:
        os.close(read_end)
    return _both(sender, receiver)


def _refuse_terminal(fd: int, problem: str) -> None:
    if os.isatty(fd):
        raise InvalidRequest(problem, hint="use a pipe or a file")


def _sender(
    end: _End, place: Place, request: CopyRequest, fds: tuple[int, int], *, bare: bool
) -> Child[None]:
    from rootless.storage.copies import send

    output, other = fds

    def work(root: int) -> None:
        if other >= 0:
            os.close(other)  # or we would never hear that its reader is gone
        send(
            root,
            _path(end),
            output,
            where=end.where,
            follow=request.follow_link,
            bare=bare,
        )

    return place.spawn(work)


def _target(engine: Engine, origin: _End, end: _End, request: CopyRequest) -> Target:
    from rootless.storage.copies import Target

    if not end.container and not request.archive:
        owners = "caller"
    else:
        owners = "keep" if request.archive or origin.container or origin.is_stream else "root"
    return Target(
        path=_path(end),
        where=end.where,
        id_map=engine.id_map,
        owners=owners,
        overwrite=request.overwrite,
        is_tar=origin.is_stream,
        foreign=not origin.container and not origin.is_stream,
    )


def _receiver(place: Place, target: Target, source: int) -> Child[list[str] | None]:
    from rootless.storage.copies import receive

    return place.spawn(lambda root: receive(root, target, source))


def _path(end: _End) -> str:
    """Absolute.  What is at its end stays: a slash, a dot."""
    if end.container or end.path.startswith("/"):
        return end.path
    return f"{os.getcwd()}/{end.path}"


def _both(sender: Child[None], receiver: Child[list[str] | None]) -> list[str]:
    """The notices of the receiver.  Of two failures, that which was not caused by the other."""
    failures: list[Exception] = []
    notices: list[str] = []
    for child in (sender, receiver):
        try:
            notices += child.wait() or []
        except (RootlessError, OSError) as error:
            failures.append(error)
    own = [each for each in failures if not isinstance(each, BrokenPipeError)]
    if failures:
        raise (own or failures)[0]
    return notices
