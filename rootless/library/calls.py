"""Calls of the engine in a process of their own.

A launch forks, takes signals, reaps orphans and becomes a subreaper: none of that may happen to a
program that has threads, children and handlers of its own.  So whatever starts a container runs in a
child interpreter, on the same code, and its failures come back as the exceptions that they are.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys

from rootless import errors
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PROGRAM = (
    "import sys;sys.path[:0]=[sys.argv.pop(1)];from rootless.library.child import main;main()"
)


class Completed(NamedTuple):
    """A program that has ended: its words, its exit code (128+n for signal n), and what it wrote."""

    args: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the last newline."""
        return self.stdout.decode(errors="replace").removesuffix("\n")


class ProgramFailed(Exception):
    """A program in a container ended with an exit code other than 0; ``completed`` has all of it."""

    def __init__(self, completed: Completed):
        said = completed.stderr.decode(errors="replace").strip()
        last = f": {said.splitlines()[-1]}" if said else ""
        super().__init__(f"{' '.join(completed.args)} ended with {completed.exit_code}{last}")
        self.completed = completed


def call(
    argv: Sequence[str],
    *,
    input: bytes | None = None,
    timeout: float | None = None,
    lifeline: int = -1,
) -> Completed:
    """Run one command of ours in a child.  Raises the RootlessError with which it failed.

    ``lifeline`` is a descriptor whose other end, once closed, ends the container that the command makes.
    Raises subprocess.TimeoutExpired after ``timeout`` seconds; the child is killed, and what it supervised with it.
    """
    # A file and not a pipe: the monitor of a container inherits it, and nobody should wait for that.
    report = os.memfd_create("report")
    code = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    flags = ["-I", *(["-B"] if sys.dont_write_bytecode else [])]
    if sys.pycache_prefix:
        flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    command = [sys.executable, *flags, "-c", _PROGRAM, code, str(report), str(lifeline), *argv]
    try:
        done = subprocess.run(
            command,
            input=b"" if input is None else input,
            capture_output=True,
            timeout=timeout,
            check=False,
            pass_fds=[fd for fd in (report, lifeline) if fd >= 0],
        )
        answer = os.pread(report, 1 << 16, 0)
    finally:
        os.close(report)
    if answer:
        kind, message, hint, exit_code = marshal.loads(answer)
        raise getattr(errors, kind)(message, hint=hint, exit_code=exit_code)
    code_ = done.returncode
    return Completed(tuple(argv), 128 - code_ if code_ < 0 else code_, done.stdout, done.stderr)


def must(argv: Sequence[str], *, lifeline: int = -1) -> Completed:
    """The same for a command whose exit code is ours and not a program's: RootlessError for any but 0."""
    done = call(argv, lifeline=lifeline)
    if done.exit_code:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        message = said[-1].removeprefix("Error: ") if said else f"{argv[0]} ended without a word"
        raise errors.RootlessError(message, exit_code=done.exit_code)
    return done


def flags_of(options: Mapping[str, Any]) -> list[str]:
    """Keywords as flags: ``publish=["8080:80"], env={"A": "b"}, init=True`` as one would type them.

    A name ends with an underscore where Python keeps the word for itself; None means: not given.
    """
    found = []
    for name, value in options.items():
        flag = f"--{name.rstrip('_').replace('_', '-')}"
        found += [flag if text is True else f"{flag}={text}" for text in _texts(value)]
    return found


def _texts(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return (True,) if value else ("false",)
    if isinstance(value, str | int | float | os.PathLike):
        return (os.fspath(value) if isinstance(value, os.PathLike) else str(value),)
    if hasattr(value, "items"):
        return [f"{key}={each}" for key, each in value.items()]
    return [os.fspath(each) if isinstance(each, os.PathLike) else str(each) for each in value]
