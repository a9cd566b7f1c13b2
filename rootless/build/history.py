"""The ``created_by`` texts of an image's history, worded as BuildKit words them.  Pure."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.dockerfile.instructions import Healthcheck

COMMENT = "buildkit.dockerfile.v0"  # what readers of docker's histories look for


class HistoryLine(NamedTuple):
    """One line of an image's history; a line that is not ``empty`` has a layer."""

    created_by: str
    empty: bool = True


def pairs_text(keyword: str, pairs: Iterable[tuple[str, str]]) -> str:
    """``ENV A=1 B=2``."""
    return " ".join((keyword, *(f"{key}={value}" for key, value in pairs)))


def args_text(pairs: Iterable[tuple[str, str | None]]) -> str:
    """``ARG A=1 B``: an argument without a value is only named."""
    words = (name if value is None else f"{name}={value}" for name, value in pairs)
    return " ".join(("ARG", *words))


def list_text(keyword: str, words: Iterable[str], *, quote: bool) -> str:
    """``CMD ["a" "b"]`` or ``VOLUME [a b]``: how Go prints a slice."""
    shown = (quoted(word) for word in words) if quote else words
    return f"{keyword} [{' '.join(shown)}]"


def run_text(
    args: tuple[str, ...], declared: Iterable[tuple[str, str | None]], env: Mapping[str, str]
) -> str:
    """``RUN |1 A=1 /bin/sh -c make # buildkit``: the build arguments in force, then the command."""
    values: dict[str, str] = {}
    for name, value in declared:
        values[name] = env.get(name, value or "")
    prefix = [f"|{len(values)}", *(f"{k}={v}" for k, v in values.items())] if values else []
    return " ".join(("RUN", *prefix, *args, "# buildkit"))


def copy_text(
    keyword: str, words: Iterable[str], target: str, *, parents: bool, chown: str, chmod: str
) -> str:
    """``COPY --chown=app . /srv # buildkit``; where the files came from is not told."""
    flags = ["--parents"] if parents else []
    flags += [f"--chown={chown}"] if chown else []
    flags += [f"--chmod={chmod}"] if chmod else []
    return " ".join((keyword, *flags, *words, target, "# buildkit"))


def health_text(check: Healthcheck) -> str:
    """How Go prints the structure that holds a health check."""
    fields = (
        ("Test", f"[{' '.join(check.test)}]"),
        ("Interval", duration_text(check.interval_ns)),
        ("Timeout", duration_text(check.timeout_ns)),
        ("StartPeriod", duration_text(check.start_period_ns)),
        ("StartInterval", duration_text(check.start_interval_ns)),
        ("Retries", str(check.retries)),
    )
    return "HEALTHCHECK {" + " ".join(f"{name}:{value}" for name, value in fields) + "}"


def duration_text(duration_ns: int) -> str:
    """A duration as Go prints it: ``1h0m5s``, ``1.5s``, ``250ms``."""
    if duration_ns == 0:
        return "0s"
    if duration_ns < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000)):
            if duration_ns >= size:
                return f"{duration_ns / size:.9g}{unit}"
        return f"{duration_ns}ns"
    minutes, rest_ns = divmod(duration_ns, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ns / 1_000_000_000:.11g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quoted(text: str) -> str:
    """A text as Go's %q writes it."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == " " or character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
