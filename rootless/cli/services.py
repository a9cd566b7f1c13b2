"""``generate systemd`` and ``healthcheck run``."""

from __future__ import annotations

from rootless.cli import output
from rootless.engine import Engine


def generate_systemd(
    container: str,
    *,
    files: bool = False,
    name: bool = False,
    new: bool = False,
    restart_policy: str = "on-failure",
    stop_timeout: float | None = None,
) -> None:
    """Print a systemd unit that runs a container."""
    from rootless.cli.command_lines import without_detach
    from rootless.engine.generate_units import GenerateRequest, generate
    from rootless.errors import InvalidRequest

    request = GenerateRequest(
        container,
        by_name=name,
        new=new,
        restart=restart_policy,
        stop_timeout_s=stop_timeout,
        to_foreground=without_detach,
    )
    unit = generate(Engine.open(), request)
    if not files:
        output.write(unit.text)
        return
    import os

    try:
        with open(unit.file_name, "w", encoding="utf-8") as file:
            file.write(unit.text)
    except OSError as error:
        raise InvalidRequest(f"cannot write {unit.file_name}: {error.strerror}") from None
    output.write(os.path.abspath(unit.file_name))


def healthcheck_run(container: str) -> int:
    """Run a container's health check now."""
    from rootless.engine.health_run import run_check

    healthy = run_check(Engine.open(), container)
    if not healthy:
        output.write("unhealthy")
    return 0 if healthy else 1
