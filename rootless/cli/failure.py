"""Failures to one line on standard error and an exit code.  The only place that renders them."""

from __future__ import annotations

import errno
import os
import sys

from rootless.errors import RootlessError


def report_failure(error: BaseException) -> int:
    """Say what went wrong, and return the exit code.  ``ROOTLESS_DEBUG=1`` adds the traceback."""
    if os.environ.get("ROOTLESS_DEBUG") == "1" and not isinstance(error, SystemExit):
        import traceback

        traceback.print_exception(error)
    match error:
        case RootlessError():
            code, message, hint = error.exit_code, error.message, error.hint
        case KeyboardInterrupt():
            code, message, hint = 130, "", None
        case BrokenPipeError():
            _forget_stdout()
            return 141  # as of a program that SIGPIPE ended
        case SystemExit():
            return error.code if isinstance(error.code, int) else 125
        case OSError():
            code, (message, hint) = 125, _describe(error)
        case _:
            code, hint = 125, "ROOTLESS_DEBUG=1 shows where; please report it"
            message = f"internal error: {type(error).__name__}: {error}"
    try:
        sys.stdout.flush()
    except OSError:  # the disk under it is full, or nobody reads any more: which is what we report
        _forget_stdout()
    try:
        if message:
            from rootless.cli.output import complain

            complain(message, hint)
    except OSError:  # standard error is closed as well
        _forget_stdout()
    return code


def _describe(error: OSError) -> tuple[str, str | None]:
    reason = (error.strerror or str(error)).lower()
    message = f"{error.filename}: {reason}" if error.filename else reason
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return message, "rootless system prune makes room"
    return message, None


def _forget_stdout() -> None:
    """Nobody reads: keep the interpreter from complaining about that when it flushes at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
