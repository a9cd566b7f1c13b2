"""The fast reader of command lines: the option table and nothing else, so that ``run`` starts at once.

It returns None for whatever it does not fully understand - help, an unknown flag, a missing value, a
word too many - and the thorough reader (``cli.typer_reader``) reads the same line again and says what
is wrong.  Both read as Go's pflag does: ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``,
``-n=value``, ``-itn value``, switches also as ``--name=false``, ``--`` ends the flags.
"""

from __future__ import annotations

from rootless.cli.values import boolean
from rootless.errors import InvalidRequest, Unsupported
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rootless.cli.options.table import Command, Option

    # What a reader found, by destination; a test checks that each has a place to go to.
    Values = dict[str, Any]
    Given = list[tuple[Option, str]]  # flags with their texts, in the order of the command line


def read(command: Command, argv: Sequence[str]) -> Values | None:
    """The flags and arguments that ``argv`` gives, and only those; None to step aside.

    Raises InvalidRequest for a value that its flag cannot have, Unsupported for a refused flag.
    """
    given: Given = []
    words = split(command, argv, given)
    if words is None:
        return None
    values = _arguments(command, words)
    if values is not None:
        values.update(convert(given))
    return values


def split(command: Command, argv: Sequence[str], given: Given) -> list[str] | None:
    """Fill ``given`` with the flags and return the words between and after them."""
    spellings = command.spellings()
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word[:1] != "-" or word == "-":
            words.append(word)
            if not command.interspersed:
                words += rest
        elif word == "--":
            words += rest
        elif word[1] == "-":
            name, equals, text = word.partition("=")
            option = spellings.get(name)
            if option is None or not _take(option, text if equals else None, given, rest):
                return None
        elif not _take_letters(word, spellings, given, rest):
            return None
    return words


def _take(option: Option, text: str | None, given: Given, rest: Iterator[str]) -> bool:
    """One flag; without a text of its own it takes the next word if it needs one."""
    if text is None:
        text = (option.bare or next(rest, None)) if option.metavar else "true"
        if text is None:
            return False
    given.append((option, text))
    return True


def _take_letters(
    word: str, spellings: dict[str, Option], given: Given, rest: Iterator[str]
) -> bool:
    """``-it``, ``-eK=V``, ``-t=false``: switches, then perhaps one flag with a value."""
    for position, letter in enumerate(word[1:], 2):
        option = spellings.get("-" + letter)
        if option is None:
            return False
        tail = word[position:]
        if len(tail) > 1 and tail[0] == "=":
            return _take(option, tail[1:], given, rest)
        if option.metavar and not option.bare:
            return _take(option, tail or None, given, rest)
        _take(option, None, given, rest)
    return True


def _arguments(command: Command, words: Sequence[str]) -> Values | None:
    """The words by the name of the argument each is; None where there are too few or too many."""
    values: Values = {}
    taken = 0
    for argument in command.arguments:
        if argument.many:
            values[argument.name] = tuple(words[taken:])
            if argument.required and taken >= len(words):
                return None
            return values
        if taken < len(words):
            values[argument.name] = words[taken]
            taken += 1
        elif argument.required:
            return None
    return values if taken == len(words) else None


def convert(given: Iterable[tuple[Option, str]]) -> Values:
    """Texts to values: the last one counts, or all where a flag may be repeated."""
    values: Values = {}
    for option, text in given:
        value = _convert(option, text)
        if option.ignored:
            continue
        if option.many:
            values[option.destination] = (*values.get(option.destination, ()), value)
        else:
            values[option.destination] = value
    return values


def _convert(option: Option, text: str) -> object:
    if option.refused:
        raise Unsupported(f"--{option.name} is not possible: {option.refused}")
    if option.choices and text not in option.choices:
        raise InvalidRequest(
            f"--{option.name} cannot be {text!r}", hint="it is one of " + ", ".join(option.choices)
        )
    converter = option.convert if option.metavar else boolean
    if converter is None:
        return text
    try:
        return converter(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"--{option.name}: {error.message}", hint=error.hint) from None
