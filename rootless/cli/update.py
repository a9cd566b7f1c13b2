"""``update``: limits and restart policy of containers that exist."""

from __future__ import annotations

from rootless.cli import output
from rootless.engine import Engine
from rootless.typed import Any


def update(containers: tuple[str, ...] = (), **changes: Any) -> None:
    """Change limits and the restart policy of containers."""
    from rootless.engine.update import update as change
    from rootless.errors import InvalidRequest

    given = {name: value for name, value in changes.items() if value not in (None, (), False)}
    if not given:
        raise InvalidRequest("nothing to change", hint="such as --memory 1g or --restart always")
    engine = Engine.open()
    for name in containers:
        change(engine, name, dict(given))
        output.write(name)
