"""``quadlet``: podman's quadlet files as services of the user's systemd."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine import boot
from rootless.engine.generate_units import Unit, passed_on
from rootless.engine.quadlet import MARK, Quadlet, Surroundings, escaped
from rootless.errors import Conflict, InvalidRequest, NotFound, RootlessError
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # What a command says of flags that it cannot take, by raising a RootlessError.
    Check = Callable[[str, Sequence[str]], object]


class Installed(NamedTuple):
    """A unit that was made of a quadlet, and the file that it was made of."""

    unit: str
    source: str


def translate(path: str, check: Check) -> Unit:
    """The service that a file describes.  Raises InvalidRequest naming the line that it cannot honour."""
    directory = os.path.dirname(os.path.abspath(path))
    if not directory.isprintable():
        raise InvalidRequest(f"{directory!r} has control characters in its name")
    quadlet = _read(path)
    surroundings = Surroundings(
        boot.program(),
        passed_on(),
        escaped(directory),
        lambda name: _neighbour(f"{directory}/{name}"),
    )
    for call in quadlet.calls(surroundings):
        if any(mark in call.setting.value for mark in "%$"):
            continue  # what it is, systemd will know
        try:
            words = ("image",) if call.command == "run" else ("name",)
            check(call.command, (*call.flags, *words))
        except RootlessError as error:
            raise quadlet.fail(call.setting, error.message) from None
    text = f"{MARK}{os.path.abspath(path)}\n{quadlet.service(surroundings)}"
    return Unit(quadlet.unit, text)


def _read(path: str) -> Quadlet:
    try:
        with open(path, encoding="utf-8") as file:
            return Quadlet(os.path.basename(path), file.read())
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not text in UTF-8") from None


def _neighbour(path: str) -> tuple[str, str] | None:
    if not os.path.exists(path):
        return None
    quadlet = _read(path)
    return quadlet.called, quadlet.unit


def install(paths: Sequence[str], check: Check, *, replace: bool = False) -> list[str]:
    """Write the services; all are translated before the first is written.  Raises Conflict for one that is there."""
    directory = boot.units_directory()
    units = [translate(path, check) for path in paths]
    for unit in units:
        path = f"{directory}/{unit.file_name}"
        ours = _source_of(path) is not None
        if os.path.exists(path) and not (ours and replace):
            raise Conflict(
                f"{path} is there already", hint="--replace" if ours else "it is not of a quadlet"
            )
    os.makedirs(directory, exist_ok=True)
    for unit in units:
        files.write_atomic(
            f"{directory}/{unit.file_name}", unit.text.encode(), mode=0o644, durable=False
        )
    wanted = [unit.file_name for unit in units if "\n[Install]\n" in unit.text]
    if boot.has_user_manager():
        boot.run_program(("systemctl", "--user", "daemon-reload"))
        if wanted:
            boot.run_program(("systemctl", "--user", "enable", *wanted))
    return [f"{directory}/{unit.file_name}" for unit in units]


def installed() -> list[Installed]:
    """The units that were made of quadlets, by name."""
    directory = boot.units_directory()
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    found = (
        (name, _source_of(f"{directory}/{name}")) for name in names if name.endswith(".service")
    )
    return [Installed(name, source) for name, source in found if source is not None]


def _source_of(path: str) -> str | None:
    """The file that a unit was made of; None for one of somebody else."""
    try:
        with open(path, encoding="utf-8") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError):
        return None
    return first.removeprefix(MARK).strip() if first.startswith(MARK) else None


def remove(name: str) -> str:
    """Stop and remove the service of a unit or of the quadlet of that name.  Raises NotFound."""
    for each in installed():
        if name in (each.unit, each.unit.removesuffix(".service"), os.path.basename(each.source)):
            if boot.has_user_manager():
                boot.run_program(("systemctl", "--user", "disable", "--now", each.unit))
            os.unlink(f"{boot.units_directory()}/{each.unit}")
            if boot.has_user_manager():
                boot.run_program(("systemctl", "--user", "daemon-reload"))
            return each.unit
    raise NotFound(f"no service was made of a quadlet {name}", hint="rootless quadlet list")
