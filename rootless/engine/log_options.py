"""``--log-driver`` and ``--log-opt`` as what the monitor is told."""

from __future__ import annotations

from rootless.errors import HostLacks, InvalidRequest
from rootless.runtime.log import DRIVERS, LogOptions
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def log_options(settings: Mapping[str, object]) -> LogOptions:
    """The options.  Raises InvalidRequest; HostLacks for journald where there is no journal."""
    driver = str(settings.get("log_driver") or "k8s-file")
    if driver not in DRIVERS:
        raise InvalidRequest(f"unknown log driver {driver!r}", hint=f"one of {', '.join(DRIVERS)}")
    if driver == "journald":
        _check_journal()
    options = LogOptions(driver)
    for text in settings.get("log_opt") or ():  # type: ignore[attr-defined]  # a list of strings in JSON
        key, _, value = text.partition("=")
        match key:
            case "max-size":
                options = options._replace(max_size=_size(value))
            case "max-file":
                options = options._replace(max_files=_count(value))
            case "tag":
                options = options._replace(tag=value)
            case _:
                raise InvalidRequest(f"unknown log option {key!r}", hint="max-size, max-file, tag")
    return options


def _check_journal() -> None:
    from rootless.runtime.journald import SOCKET, JournalWriter

    try:
        JournalWriter({}).close()
    except OSError as error:
        raise HostLacks(
            f"no journal takes messages at {SOCKET}: {error.strerror}",
            hint="leave --log-driver away: then the log is a file, which `rootless logs` shows",
        ) from None


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise InvalidRequest(f"log option max-file={text} is not a number of files")
    return int(text)


def _size(text: str) -> int:
    number = text.rstrip("bBkKmMgG")
    unit = text[len(number) :].lower()[:1]
    if not number.isdigit():
        raise InvalidRequest(f"invalid size {text!r}", hint="such as 10m")
    return int(number) << {"k": 10, "m": 20, "g": 30}.get(unit, 0)
