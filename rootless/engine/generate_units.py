"""``generate systemd``: a container as a service of the user's systemd."""

from __future__ import annotations

import os

from rootless.engine.boot import program
from rootless.engine.units import UnitRequest, container_unit
from rootless.errors import InvalidRequest
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.engine import Engine

_PASSED_ON = ("ROOTLESS_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")


class GenerateRequest(NamedTuple):
    """``to_foreground`` makes of the words of a ``run`` and a name those of one that stays in the foreground."""

    container: str
    by_name: bool
    new: bool
    restart: str
    stop_timeout_s: float | None
    to_foreground: Callable[[Sequence[str], str], tuple[str, ...]]


class Unit(NamedTuple):
    """A unit file."""

    file_name: str
    text: str


def generate(engine: Engine, request: GenerateRequest) -> Unit:
    """The unit of a container.  Raises NotFound; InvalidRequest where it cannot be made anew."""
    container = store.find(engine.paths, request.container)
    name = container.name if request.by_name else container.id
    run: tuple[str, ...] = ()
    directory = ""
    settings = container.record["settings"]
    if request.new:
        words = typed(container, hint="leave --new away: then the unit starts this container")
        run = request.to_foreground(words, container.name)
        directory = settings.get("create_directory") or ""
    grace = request.stop_timeout_s
    text = container_unit(
        UnitRequest(
            name=container.name if request.new else name,
            description=f"Container {container.name} of {container.record['image']}",
            program=program(),
            environment=passed_on(),
            stop_timeout_s=container.record["stop_timeout"] if grace is None else grace,
            restart=request.restart,
            run=run,
            directory=directory,
        )
    )
    return Unit(f"container-{name}.service", text)


def passed_on() -> dict[str, str]:
    """What a service must know to find our store, and our code where that is not installed."""
    names = [*_PASSED_ON, *(("PYTHONPATH",) if len(program()) > 1 else ())]
    return {each: os.environ[each] for each in names if os.environ.get(each)}


def typed(container: store.Container, *, hint: str) -> tuple[str, ...]:
    """The words of its ``run``.  Raises InvalidRequest where they are not known."""
    words = container.record["settings"].get("create_command") or ()
    if not words:
        raise InvalidRequest(
            f"container {container.name} was not made by `rootless run`, so how is not known",
            hint=hint,
        )
    return tuple(words)


def generate_quadlet(
    engine: Engine,
    name: str,
    split: Callable[[Sequence[str]], tuple[list[tuple[str, str]], list[str]]],
) -> Unit:
    """A quadlet for podman and for us; ``split`` makes flags and words of a ``run``.  Raises NotFound, InvalidRequest."""
    from rootless.engine.quadlet import quadlet_of

    container = store.find(engine.paths, name)
    flags, words = split(
        typed(container, hint="rootless run -d makes containers that can be written down")
    )
    directory = container.record["settings"].get("create_directory") or "/"
    return Unit(f"{container.name}.container", quadlet_of(container.name, flags, words, directory))
