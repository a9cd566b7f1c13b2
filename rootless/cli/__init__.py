"""The command line: arguments to requests, results to text.  ``main`` imports one command's modules."""

from __future__ import annotations

import os
import sys

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.options.table import Command


# Families whose commands say 125 for every failure of ours; health checks mean something by 1.
_STARTING = ("run", "build", "registries", "manifests", "services")
_RESTRICTION = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.  Every failure becomes one line, never a traceback.

    Without ``argv`` this is the program: it leaves at once when nothing is registered to happen at exit,
    for taking an interpreter down costs as much as a fork.
    """
    try:
        if argv is None:
            from rootless.cli.start import prepare

            prepare()
        if argv is None and os.path.exists(_RESTRICTION):
            from rootless.engine import apparmor

            apparmor.pass_through()
        code = dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BaseException as error:
        from rootless.cli.failure import report_failure

        code = report_failure(error)
    if argv is None and not {"threading", "atexit"} & sys.modules.keys():
        sys.stderr.flush()
        os._exit(code)
    return code


def dispatch(argv: Sequence[str]) -> int:
    """Run one command and return its exit code.  Raises its RootlessError."""
    from rootless.cli.commands import COMMANDS, resolve
    from rootless.errors import Conflict, NotFound, code_of

    name, rest = resolve(argv)
    command, function = load(name)
    from rootless.cli.argv import read

    values = read(command, rest)
    if values is None:
        from rootless.cli.typer_reader import HelpWanted
        from rootless.cli.typer_reader import read as read_thoroughly

        try:
            values = read_thoroughly(command, rest)
        except HelpWanted as wanted:
            from rootless.cli.output import write

            write(wanted.text)
            return 0
    try:
        return function(**values) or 0
    except (Conflict, NotFound) as error:
        if COMMANDS[name] not in _STARTING:
            error.exit_code = code_of(error)
        raise


def values_of(name: str, argv: Sequence[str]) -> dict[str, Any]:
    """What the words after a command's name say.  Raises InvalidRequest."""
    from rootless.cli.argv import read

    command, _ = load(name)
    values = read(command, argv)
    if values is None:
        from rootless.cli.typer_reader import read as read_thoroughly

        values = read_thoroughly(command, argv)
    return values


def load(name: str) -> tuple[Command, Any]:
    """The table entry of a command, and its function: ``image inspect`` is ``images.image_inspect``."""
    from rootless.cli.commands import COMMANDS

    family = COMMANDS[name]
    symbol = name.strip("_").replace(" ", "_").replace("-", "_")
    table = _module(f"rootless.cli.options.{family}")
    commands = _module(f"rootless.cli.{family}")
    return getattr(table, symbol.upper()), getattr(commands, _FUNCTIONS.get(symbol, symbol))


_FUNCTIONS = {"import": "import_"}  # words that Python keeps for itself


def _module(name: str) -> Any:
    __import__(name)  # importlib.import_module would import importlib first
    return sys.modules[name]
