"""Progress that engine functions report while they work; a front end renders it.

An engine function takes ``report: Report = ignore`` and calls it with events.  It never prints.
"""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Notice(NamedTuple):
    """One line that a person should read; ``level`` is ``info`` or ``warning``."""

    text: str
    level: str = "info"


class Transfer(NamedTuple):
    """How far a named piece of work has come; ``total_bytes`` is None while unknown.

    ``action`` is a word a person reads: ``downloading``, ``unpacking``, ``uploading``, ``done``, ``exists``.
    """

    name: str
    action: str
    done_bytes: int = 0
    total_bytes: int | None = None


class StepStarted(NamedTuple):
    """A build step begins; ``name`` is what a person reads: ``[2/5] RUN make``."""

    step: int
    name: str


class StepOutput(NamedTuple):
    """Bytes that a build step wrote; ``stream`` is 1 or 2."""

    step: int
    stream: int
    data: bytes


class StepDone(NamedTuple):
    """A build step ended."""

    step: int
    cached: bool
    seconds: float


Event = Notice | Transfer | StepStarted | StepOutput | StepDone
if TYPE_CHECKING:
    Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The report of a caller who does not want to know."""
