"""What ``import rootless`` offers: run, build, pull, and the containers and images that there are."""

from __future__ import annotations

import os

from rootless.library.calls import Completed, ProgramFailed, call, flags_of, must
from rootless.library.containers import Container
from rootless.typed import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine import Engine
    from rootless.library.keywords import BuildOptions, PullOptions, RunOptions

_GRACE_S = 2


def _engine() -> Engine:
    from rootless.engine import Engine

    return Engine.open()


def run(
    image: str = "",
    args: Sequence[str] = (),
    *,
    input: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    **options: Unpack[RunOptions],
) -> Completed:
    """Run a program in a new container to its end, and remove the container.

    ``options`` are the flags of ``rootless run`` as keywords; a directory, or ``file`` instead of an image, is
    built first.  Raises ProgramFailed with ``check``,
    LaunchFailed, NotFound ...; subprocess.TimeoutExpired after ``timeout`` seconds.
    """
    flags = ["--rm", *flags_of(options), *(["--interactive"] if input is not None else [])]
    words = [*([image] if image else []), *args]
    done = call(["run", "--quiet", *flags, *words], input=input, timeout=timeout)
    done = done._replace(args=tuple(args) or (image,))
    if check and done.exit_code:
        raise ProgramFailed(done)
    return done


def running(image: str = "", args: Sequence[str] = (), **options: Unpack[RunOptions]) -> Container:
    """Start a container that stands beside this program; it returns when its program runs.

    ``with rootless.running("nginx") as web:`` stops and removes it at the end of the block.  Without a
    block it goes with this process, however that ends: also by kill -9.  It gets two seconds to end
    gently unless ``stop_timeout`` says otherwise.
    """
    options.setdefault("stop_timeout", _GRACE_S)
    kept, told = os.pipe2(os.O_CLOEXEC)
    try:
        flags = ["--detach", "--rm", *flags_of(options)]
        done = must(["run", *flags, *([image] if image else []), *args], lifeline=kept)
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(kept)
    return Container(_engine(), done.stdout.decode(), lifeline=told)


def build(context: str | os.PathLike[str] = ".", **options: Unpack[BuildOptions]) -> str:
    """Build an image from a directory with a Dockerfile; its id.  Raises BuildFailed."""
    done = must(["build", "--quiet", *flags_of(options), os.fspath(context)])
    return done.text.splitlines()[-1]


def pull(reference: str, **options: Unpack[PullOptions]) -> str:
    """Download an image; its id."""
    return must(["pull", "--quiet", *flags_of(options), reference]).text.splitlines()[-1]


def container(name_or_id: str) -> Container:
    """The container of that name or id.  Raises NotFound."""
    from rootless.runtime import container as store

    engine = _engine()
    return Container(engine, store.find(engine.paths, name_or_id).id)


def containers(*, all: bool = False, filter: Sequence[str] = ()) -> list[Container]:
    """The containers that run, newest first; with ``all`` also the others."""
    from rootless.engine.container_requests import ListRequest
    from rootless.engine.containers import list_containers

    engine = _engine()
    found = list_containers(engine, ListRequest(all=all, filter=tuple(filter)))
    return [Container(engine, each.container.id) for each in found]


def images() -> list[dict[str, Any]]:
    """The stored images, as ``rootless images --format json`` shows them."""
    import json

    found: list[dict[str, Any]] = json.loads(must(["images", "--format", "json"]).stdout or b"[]")
    return found
