"""Texts for systemd: a unit for one container, and one that starts at boot what is to run always.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESTARTS = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
_LEEWAY_S = 60  # that systemd waits longer than we do (podman's)
START_ALL = ("start", "--all", "--filter", "should-start-on-boot=true")


class UnitRequest(NamedTuple):
    """A container as a service; ``program`` is how rootless is called, ``run`` the words to make it anew with.

    Without ``run`` the container that is there is started.  ``environment`` is what rootless must know.
    """

    name: str
    description: str
    program: tuple[str, ...]
    environment: Mapping[str, str]
    stop_timeout_s: float
    restart: str = "on-failure"
    run: tuple[str, ...] = ()
    directory: str = ""


def container_unit(request: UnitRequest) -> str:
    """The text of its unit (systemd.service(5)).  Raises InvalidRequest for an unknown restart policy."""
    if request.restart not in RESTARTS:
        raise InvalidRequest(
            f"systemd has no restart policy {request.restart!r}",
            hint="one of " + " ".join(RESTARTS),
        )
    stop = ("stop", "--ignore", "--time", f"{request.stop_timeout_s:g}", request.name)
    start = request.run or ("start", "--attach", request.name)
    lines = [
        "[Unit]",
        f"Description={_text(request.description)}",
        "",
        "[Service]",
        "Type=exec",
        "Delegate=yes",
        *(f"Environment={word(f'{key}={value}')}" for key, value in request.environment.items()),
        *((f"WorkingDirectory={_text(request.directory)}",) if request.directory else ()),
        f"Restart={request.restart}",
        f"TimeoutStopSec={int(request.stop_timeout_s) + _LEEWAY_S}",
        f"ExecStart={line_of((*request.program, *start))}",
        f"ExecStop={line_of((*request.program, *stop))}",
    ]
    if request.run:
        remove = ("rm", "--force", "--ignore", request.name)
        lines.append(f"ExecStopPost={line_of((*request.program, *remove))}")
    lines += ["", "[Install]", "WantedBy=default.target"]
    return "\n".join(lines) + "\n"


def boot_unit(program: tuple[str, ...]) -> str:
    """The unit that starts every container which a reboot has ended and whose policy is to run.

    Its stop is systemd's SIGTERM to the monitors, who pass it on: ``rootless stop`` would be taken for
    somebody's wish that they stay down.
    """
    lines = (
        "[Unit]",
        "Description=Containers of rootless that are to run always",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "Delegate=yes",
        f"ExecStart={line_of((*program, *START_ALL))}",
        "",
        "[Install]",
        "WantedBy=default.target",
    )
    return "\n".join(lines) + "\n"


def line_of(words: Iterable[str]) -> str:
    """A command line (systemd.service(5), "Command lines"): a dollar and a percent stand for themselves."""
    return " ".join(word(each.replace("$", "$$")) for each in words)


def raw_line(words: Iterable[str]) -> str:
    """The same, where systemd is to expand what they hold."""
    return " ".join(map(quoted, words))


def word(text: str) -> str:
    return quoted(text.replace("%", "%%"))


def quoted(text: str) -> str:
    """One word of a command line or of a value that is a list of words (systemd.syntax(7))."""
    if text and all(c.isalnum() or c in "_-./:=@,+%$" for c in text):
        return text
    for plain, escaped in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\t", "\\t"),
        ("\r", "\\r"),
    ):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _text(text: str) -> str:
    return " ".join(text.replace("%", "%%").split())
