"""A ``run`` that was typed, as a service would do it."""

from __future__ import annotations

from rootless.cli.options.run import RUN
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.options.table import Option

# A service has its own name for the container, waits for it, and removes it.
_OURS = frozenset(("detach", "name", "rm", "replace", "restart", "cidfile", "pidfile", "quiet"))


def without_detach(words: Sequence[str], name: str) -> tuple[str, ...]:
    """The same ``run`` in the foreground, of a container called ``name`` that leaves nothing behind."""
    spellings = RUN.spellings()
    kept: list[str] = []
    left = list(words)
    while left and left[0][:1] == "-" and left[0] not in ("-", "--"):
        word = left.pop(0)
        option, flag, value = _read(word, spellings, kept)
        if option is None:
            continue
        waits = bool(option.metavar) and not option.bare and value is None
        following = [left.pop(0)] if waits and left else []
        if option.name not in _OURS:
            kept += [flag if value is None else _joined(flag, value), *following]
    return ("run", "--rm", "--replace", "--name", name, *kept, *left)


def flags_and_words(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Flags of a ``run`` that was typed by their long names, and the words after them."""
    from rootless.cli.argv import split

    given: list[tuple[Option, str]] = []
    rest = split(RUN, words, given)
    return [(option.name, text) for option, text in given], rest or []


def _read(
    word: str, spellings: dict[str, Option], kept: list[str]
) -> tuple[Option | None, str, str | None]:
    """The flag of a word, how it is written, and the value in the same word.

    Of ``-dit`` all but the last letter are switches, and are dealt with here; ``-dt=false`` gives the last a value.
    """
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return spellings.get(flag), flag, value if equals else None
    letters = word[1:]
    for position, letter in enumerate(letters):
        option = spellings.get(f"-{letter}")
        rest = letters[position + 1 :]
        if option is None or option.metavar or not rest or (rest[0] == "=" and rest != "="):
            return option, f"-{letter}", rest or None
        if option.name not in _OURS:
            kept.append(f"-{letter}")
    return None, "", None


def _joined(flag: str, value: str) -> str:
    return f"{flag}={value}" if flag.startswith("--") else f"{flag}{value}"
