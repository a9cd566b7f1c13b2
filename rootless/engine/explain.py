"""``--explain``: what a run would do, as lines to read."""

from __future__ import annotations

from rootless import events
from rootless.engine.create import explain as plan_of_run
from rootless.runtime.explain import explain
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.events import Report


def explain_run(engine: Engine, request: RunRequest, report: Report = events.ignore) -> list[str]:
    """The launch plan of ``run``, one operation a line; nothing is done but a missing image pulled."""
    return explain(plan_of_run(engine, request, report))
