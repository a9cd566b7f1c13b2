"""What makes the start of a program of 80 modules cheap: a shorter way to them, and no search for garbage.

On its way to a module the interpreter asks three finders, looks at six files and builds many paths, in Python.
``Finder`` looks at two files, where they are expected.  It takes what the interpreter would take, by the same
test, and leaves to it whatever is not as expected.
"""

from __future__ import annotations

import gc
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _imp import _fix_co_filename  # type: ignore[attr-defined]  # importlib's own, without a stub
from marshal import loads

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_ALLOCATIONS = 50_000  # a start makes 20,000 objects, which stay
_HEAD = 16  # bytes before the code: magic number, flags, time and size of the source (PEP 552)
_LONGEST = 64 * 1024  # of a compiled module; the memory for a longer read would be mapped each time


def prepare() -> None:
    """For the program only: a library changes nothing in its host."""
    _open_streams()
    gc.set_threshold(_ALLOCATIONS)
    if sys.pycache_prefix is None and not sys.flags.optimize:  # else they lie elsewhere
        sys.meta_path.insert(0, Finder("rootless."))


def _open_streams() -> None:
    """A file of ours must not get the number of a stream that the caller has closed: programs would write to it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # the interpreter found it closed
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # kept


class Finder:
    """Finds the modules below one package that are compiled already."""

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._suffix = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A module that was compiled from its source as it is now; None is for the next finder."""
        if path is None or not name.startswith(self._prefix):
            return None
        directory, leaf = path[0], name[name.rfind(".") + 1 :]
        found = self._find(name, directory, leaf)
        if found is None:
            directory = f"{directory}/{leaf}"
            found = self._find(name, directory, "__init__")
            if found is not None:
                found.submodule_search_locations = [directory]
        return found

    def _find(self, name: str, directory: str, leaf: str) -> ModuleSpec | None:
        source = f"{directory}/{leaf}.py"
        compiled = f"{directory}/__pycache__/{leaf}{self._suffix}"
        try:
            status = os.stat(source)
            content = _read(compiled)
        except OSError:
            return None
        if len(content) == _LONGEST or content[:_HEAD] != _head(status):
            return None
        found = ModuleSpec(name, _Loader(name, source, content), origin=source)
        found.has_location = True
        found.cached = compiled
        return found


class _Loader(SourceFileLoader):
    """Loads a module whose file is read already."""

    def __init__(self, name: str, source: str, content: bytes):
        super().__init__(name, source)
        self._content = content

    def get_code(self, fullname: str) -> CodeType | None:
        content, self._content = self._content, b""
        if not content:
            return super().get_code(fullname)
        code: CodeType = loads(memoryview(content)[_HEAD:])
        _fix_co_filename(code, self.path)
        return code


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST)
    finally:
        os.close(fd)


def _head(source: os.stat_result) -> bytes:
    """What a module begins with that was compiled here from this source."""
    numbers = (0, int(source.st_mtime), source.st_size)
    return MAGIC_NUMBER + b"".join(
        (number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers
    )
