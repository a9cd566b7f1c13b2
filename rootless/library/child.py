"""The child interpreter of a call from the library: one command, and its failure as a value in a file."""

from __future__ import annotations

import marshal
import os
import sys

from rootless.errors import RootlessError
from rootless.kernel import process
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


_SIGKILL = 9


def main() -> NoReturn:
    """``REPORT LIFELINE VERB ...``: descriptors, then a command line of ours."""
    report, lifeline = int(sys.argv[1]), int(sys.argv[2])
    for fd in (report, lifeline):
        if fd >= 0:
            os.set_inheritable(fd, False)
    # Whoever called waits for us in the thread that started us; without them nobody wants the result.
    process.set_parent_death_signal(_SIGKILL)
    code = 125
    try:
        code = _perform(sys.argv[3:], lifeline)
        sys.stdout.flush()
    except RootlessError as error:
        found = (type(error).__name__, error.message, error.hint, error.exit_code)
        os.write(report, marshal.dumps(found))
    except BaseException as error:
        from rootless.cli.failure import report_failure

        code = report_failure(error)
    sys.stderr.flush()
    os._exit(code)


def _perform(argv: Sequence[str], lifeline: int) -> int:
    from rootless import cli

    if lifeline < 0:
        return cli.dispatch(argv)
    return _run_tied(argv, lifeline)


def _run_tied(argv: Sequence[str], lifeline: int) -> int:
    """``run -d`` of a container that ends with the process that called the library."""
    from rootless import cli
    from rootless.cli.reporting import Reporting
    from rootless.cli.run import build_first, run_request
    from rootless.engine import Engine
    from rootless.engine.run import run

    given = cli.values_of("run", argv[1:])
    build_first("run", given, quiet=True)
    request = run_request(given)
    with Reporting(quiet=True) as report:
        result = run(Engine.open(), request, report, lifeline=lifeline)
    sys.stdout.write(result.container_id)
    return 0
