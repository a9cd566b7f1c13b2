"""The same for each of several names: one failure does not keep the others from being done."""

from __future__ import annotations

from rootless.cli import output
from rootless.errors import RootlessError, code_of
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def each(
    names: Iterable[str],
    act: Callable[[str], object],
    *,
    show: Callable[[str], None] = output.write,
    goes_on: bool = False,
) -> int:
    """Act on each name, show those that went well and complain of those that did not.

    The exit code is that of the last failure, or 0.  Raises that of the only name, unless the
    caller ``goes_on`` to show something even then.
    """
    names = tuple(names)
    code = 0
    for name in names:
        try:
            act(name)
        except RootlessError as error:
            if len(names) == 1 and not goes_on:
                raise
            output.complain(error.message, error.hint)
            code = code_of(error)
        else:
            show(name)
    return code


def say_nothing(name: str) -> None:
    """For commands that print no names."""
