"""``generate``, ``quadlet`` and ``healthcheck run``."""

from __future__ import annotations

from rootless.cli import output
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.generate_units import Unit


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

    request = GenerateRequest(
        container,
        by_name=name,
        new=new,
        restart=restart_policy,
        stop_timeout_s=stop_timeout,
        to_foreground=without_detach,
    )
    unit = generate(Engine.open(), request)
    _give(unit, into_file=files)


def _give(unit: Unit, *, into_file: bool) -> None:
    if not into_file:
        output.write(unit.text)
        return
    import os

    from rootless.errors import InvalidRequest

    try:
        with open(unit.file_name, "w", encoding="utf-8") as file:
            file.write(unit.text)
    except OSError as error:
        raise InvalidRequest(f"cannot write {unit.file_name}: {error.strerror}") from None
    output.write(os.path.abspath(unit.file_name))


def generate_quadlet(container: str, *, files: bool = False) -> None:
    """Print a quadlet that runs a container."""
    from rootless.cli.command_lines import flags_and_words
    from rootless.engine.generate_units import generate_quadlet as generate

    _give(generate(Engine.open(), container, flags_and_words), into_file=files)


def quadlet_install(files: tuple[str, ...], *, replace: bool = False) -> None:
    """Make services of quadlets."""
    from rootless.cli import values_of
    from rootless.engine.quadlets import install

    for path in install(files, values_of, replace=replace):
        output.write(path)


def quadlet_list(
    *, format: str | None = None, quiet: bool = False, noheading: bool = False
) -> None:
    """List the services that were made of quadlets."""
    from rootless.engine.quadlets import installed

    output.listing(
        [{"Name": each.unit, "Source": each.source} for each in installed()],
        {"Name": "NAME", "Source": "MADE OF"},
        shown=("Name", "Source"),
        format=format,
        quiet="Name" if quiet else None,
        heading=not noheading,
    )


def quadlet_print(file: str) -> None:
    """Print the service that a quadlet would become."""
    from rootless.cli import values_of
    from rootless.engine.quadlets import translate

    output.write(translate(file, values_of).text)


def quadlet_rm(names: tuple[str, ...]) -> int:
    """Stop and remove services that were made of quadlets."""
    from rootless.cli.each import each
    from rootless.engine.quadlets import remove

    return each(names, remove)


def healthcheck_run(container: str) -> int:
    """Run a container's health check now."""
    from rootless.engine.health_run import run_check

    healthy = run_check(Engine.open(), container)
    if not healthy:
        output.write("unhealthy")
    return 0 if healthy else 1
