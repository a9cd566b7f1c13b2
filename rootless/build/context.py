"""The build context: a directory of the caller and the file that says what to ignore in it."""

from __future__ import annotations

import os

from rootless.dockerfile.ignore import Ignore, ignore_file_names, read_ignore_file
from rootless.errors import InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.build.selection import View

_MAX_TEXT_BYTES = 16 << 20


class Context(NamedTuple):
    """Files that COPY, ADD and bind mounts take from; ``directory`` is None when there are none."""

    directory: str | None
    ignore: Ignore | None = None
    name: str = "build context"
    patterns: tuple[str, ...] = ()  # those of the ignore file

    def view(self) -> View:
        """The tree, open; the caller closes ``root``.  Raises NotFound for a build without context."""
        if self.directory is None:
            raise NotFound(f"this build has no {self.name}", hint="give a directory instead of -")
        from rootless.build.selection import View

        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return View(os.open(self.directory, flags), self.name, self.ignore, anonymous=True)


def open_context(directory: str, dockerfile: str | None, ignore_file: str | None = None) -> Context:
    """A directory with the ignore file that applies to it.

    ``dockerfile`` is the path of the Dockerfile: an ignore file of its own name beside it wins.
    """
    if ignore_file:
        candidates = [ignore_file]
    else:
        beside, also_beside, *inside = ignore_file_names(dockerfile or f"{directory}/Dockerfile")
        candidates = [beside, also_beside, *(f"{directory}/{name}" for name in inside)]
    for path in candidates:
        try:
            text = read_text(path)
        except FileNotFoundError:
            continue
        patterns = read_ignore_file(text, name=os.path.basename(path))
        return Context(directory, Ignore(patterns) if patterns else None, patterns=patterns)
    if ignore_file:
        raise NotFound(f"no ignore file {ignore_file}")
    return Context(directory)


def read_text(path: str) -> str:
    """A text file of the caller, with an upper bound.  Raises InvalidRequest when it is not text."""
    with open(path, "rb") as file:
        content = file.read(_MAX_TEXT_BYTES + 1)
    if len(content) > _MAX_TEXT_BYTES:
        raise InvalidRequest(f"{path} is larger than {_MAX_TEXT_BYTES >> 20} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not UTF-8 text") from None


def find_dockerfile(directory: str, name: str | None) -> str:
    """The path of the Dockerfile of a context.  Raises NotFound with the names that were tried."""
    if name is not None:
        candidates = [name] if os.path.isabs(name) else [_inside(directory, name)]
    else:
        candidates = [
            f"{directory}/{each}" for each in ("Dockerfile", "Containerfile", "dockerfile")
        ]
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise NotFound(
        f"no {os.path.basename(candidates[0])} in {os.path.dirname(candidates[0])}",
        hint="name it with -f" if name is None else "-f FILE is looked for from where you are",
    )


def _inside(directory: str, name: str) -> str:
    """A path below the directory.  A remote context must not name files of the host."""
    path = os.path.normpath(f"{directory}/{name}")
    if os.path.commonpath((path, directory)) != os.path.normpath(directory):
        raise InvalidRequest(f"{name} is outside of the build context")
    real = os.path.realpath(path)
    if os.path.commonpath((real, os.path.realpath(directory))) != os.path.realpath(directory):
        raise InvalidRequest(f"{name} leads out of the build context")
    return path
