"""Split the text behind a keyword: flags, words, JSON, comma-separated fields.  Pure."""

from __future__ import annotations

import json
import re

from rootless.dockerfile.variables import SPACE
from rootless.typed import NamedTuple

# What separates a keyword and plain arguments; a line has no line end, and others do not count.
BLANKS = re.compile(r"[\t\v\f\r ]+")
_SURROGATE = "[\ud800-\udfff]"
_DASHES = re.compile(f"[{SPACE}]*--")


class Flag(NamedTuple):
    """A ``--name=value`` between the keyword and the arguments, without quotes and escapes."""

    text: str
    offset: int  # in the text it was found in


def split_flags(text: str, escape: str) -> tuple[tuple[Flag, ...], int]:
    """The flags at the start of ``text``, and where the arguments begin behind them.

    A lone ``--`` ends the flags, so that an argument may begin with two dashes.
    """
    flags: list[Flag] = []
    position = 0
    while match := _DASHES.match(text, position):
        start = match.end() - 2
        word, position = _unquoted_word(text, start, escape)
        if word == "--":
            break
        flags.append(Flag(word, start))
    return tuple(flags), position


def _unquoted_word(text: str, position: int, escape: str) -> tuple[str, int]:
    """The word at ``position`` and its end; both kinds of quotes keep spaces, and escapes work."""
    word: list[str] = []
    quote = ""
    while position < len(text):
        character = text[position]
        if character == escape and position + 1 < len(text):
            position += 1
            word.append(text[position])
        elif character == escape:
            pass
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif not quote and character in SPACE:
            break
        else:
            word.append(character)
        position += 1
    return "".join(word), position


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """The words of ENV, LABEL and ARG: quotes keep spaces and, like escapes, stay in the word."""
    words = []
    position = 0
    while position < len(text):
        if text[position] in SPACE:
            position += 1
            continue
        start = position
        position = _word_end(text, start, escape)
        word = text[start:position]
        # An escape at the very end has nothing to escape.
        words.append(word[:-1] if _ends_in_escape(word, escape) else word)
    return tuple(word for word in words if word)


def _word_end(text: str, position: int, escape: str) -> int:
    quote = ""
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'":
            position += 1
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif not quote and character in SPACE:
            break
        position += 1
    return min(position, len(text))


def _ends_in_escape(word: str, escape: str) -> bool:
    return (len(word) - len(word.rstrip(escape))) % 2 == 1


def split_plain(text: str) -> tuple[str, ...]:
    """Words without quotes or escapes, as of FROM, EXPOSE and COPY."""
    return tuple(BLANKS.split(text)) if text else ()


def json_strings(text: str) -> tuple[str, ...] | None:
    """The exec form: a JSON array of strings.  None if the text is no JSON array.

    Raises ValueError for an array of other things, which nobody means as a shell command.
    """
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        # Numbers stay text: they are refused anyway, and long ones would take long.
        items = json.loads(
            text, parse_int=str.encode, parse_float=str.encode, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in items):
        raise ValueError("when using JSON array syntax, arrays must be comprised of strings only")
    # "\ud800" alone is no character, and could be written nowhere.
    return tuple(re.sub(_SURROGATE, "\ufffd", item) for item in items)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def split_fields(text: str) -> tuple[str, ...]:
    """One line of comma-separated values; ValueError for quotes in the wrong places."""
    fields = []
    position = 0
    while True:
        field, position = _field(text, position)
        fields.append(field)
        if position >= len(text):
            return tuple(fields)
        position += 1
        if position == len(text):
            return (*fields, "")


def _field(text: str, position: int) -> tuple[str, int]:
    """The field at ``position``, and where the comma behind it is."""
    if text[position : position + 1] != '"':
        end = text.find(",", position)
        end = len(text) if end < 0 else end
        if '"' in text[position:end]:
            raise ValueError('bare " in non-quoted field')
        return text[position:end], end
    parts = []
    while True:
        end = text.find('"', position + 1)
        if end < 0:
            raise ValueError('missing " at the end of a quoted field')
        parts.append(text[position + 1 : end])
        position = end + 1
        if text[position : position + 1] != '"':
            break
    if position < len(text) and text[position] != ",":
        raise ValueError('extraneous " in quoted field')
    return '"'.join(parts), position
