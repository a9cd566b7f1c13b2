"""Containers for people without root.

Importing this package imports nothing else; the names below are loaded when they are first used, so that
the command line pays nothing for them.  docs/library.md shows them at work.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.errors import Conflict, LaunchFailed, NotFound, RootlessError
    from rootless.library.calls import Completed, ProgramFailed
    from rootless.library.containers import Container, LogLine
    from rootless.library.verbs import (
        build,
        container,
        containers,
        images,
        pull,
        run,
        running,
    )

# Name -> the module that it is loaded from.
_PLACES = {
    **dict.fromkeys(("Conflict", "LaunchFailed", "NotFound", "RootlessError"), "rootless.errors"),
    **dict.fromkeys(("Completed", "ProgramFailed"), "rootless.library.calls"),
    **dict.fromkeys(("Container", "LogLine"), "rootless.library.containers"),
    **dict.fromkeys(
        ("build", "container", "containers", "images", "pull", "run", "running"),
        "rootless.library.verbs",
    ),
}
__all__ = (
    "Completed",
    "Conflict",
    "Container",
    "LaunchFailed",
    "LogLine",
    "NotFound",
    "ProgramFailed",
    "RootlessError",
    "__version__",
    "build",
    "container",
    "containers",
    "images",
    "pull",
    "run",
    "running",
)


def __getattr__(name: str) -> object:
    """Load what is asked for, once (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'rootless' has no attribute {name!r}")
    module = __import__(_PLACES[name], fromlist=[name])
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
