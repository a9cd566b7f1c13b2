"""Variables, quotes and escapes in the words of a Dockerfile, as BuildKit's shell lexer reads them.  Pure.

``$name``, ``${name}``, ``${name:-word}``, ``-`` ``:+`` ``+`` ``:?`` ``?``, ``#`` ``##`` ``%`` ``%%``
with a pattern, ``/pattern/text`` and ``//``.  Single quotes keep everything; double quotes keep all
but ``$``; the escape character keeps the next one.
"""

from __future__ import annotations

import re

from rootless.dockerfile import substitution
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# White space as Unicode has it; str.isspace() would add the separators of ASCII, U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_SPECIAL = "@*#?-$!"  # parameters of the shell, which a Dockerfile never has
_DEEPEST = 50  # of ${a:-${b:-${c}}}
_ORDINARY = {True: re.compile(r"[^$<'\"\\`}/]+"), False: re.compile(r"[^$<\\`}/]+")}
_IN_QUOTES = r"[^$\"\\`]+"
_HEREDOC_SPACE = r"[\t\r ]*"


class Rules(NamedTuple):
    """How a text is read; the defaults are those of a word of an instruction."""

    escape: str = "\\"
    quotes: bool = True  # quotes mean something
    keep_quotes: bool = False  # ... and stay in the result
    keep_escapes: bool = False
    keep_unset: bool = False  # what names no variable stays as written


class Expansion(NamedTuple):
    """A text with its variables replaced."""

    text: str
    words: tuple[str, ...]  # the same, split at the white space that is not quoted
    used: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()  # asked for and not set, each once, in order


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """One word with the values of its variables, without quotes and escapes."""
    if not any(special in word for special in ("$", "'", '"', escape)):
        return word
    return read(word, variables, rules=Rules(escape)).text


def expand_words(word: str, variables: Mapping[str, str], *, escape: str = "\\") -> tuple[str, ...]:
    """The words that a text stands for: a variable can hold several."""
    return read(word, variables, rules=Rules(escape)).words


def expand_document(text: str, variables: Mapping[str, str]) -> str:
    """The text of a heredoc, where quotes mean nothing and a backslash always escapes."""
    return read(text, variables, rules=Rules(quotes=False)).text


def read(text: str, variables: Mapping[str, str], *, rules: Rules) -> Expansion:
    """Expand ``text`` and say which variables it asked for.

    Raises InvalidRequest for quotes and braces that do not end, and for ``${name?}``.
    """
    lexer = _Lexer(text, variables, rules)
    try:
        parts = lexer.parts(stop="", keep_escapes=rules.keep_escapes)
    except ValueError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise InvalidRequest(f"failed to process {_quoted(shown)}: {error}") from None
    return Expansion(
        "".join(part for _, part in parts), _split(parts), tuple(lexer.used), tuple(lexer.unset)
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _split(parts: list[tuple[bool, str]]) -> tuple[str, ...]:
    """Join the parts and split at white space, but not inside those that are protected."""
    words: list[str] = []
    word: list[str] = []
    for splits, text in parts:
        pieces = re.split(f"[{SPACE}]", text) if splits else [text]
        for index, piece in enumerate(pieces):
            if index and any(word):
                words.append("".join(word))
                word = []
            word.append(piece)
    if any(word):
        words.append("".join(word))
    return tuple(words)


class _Lexer:
    """One pass over a text; ValueError where it makes no sense."""

    def __init__(self, text: str, variables: Mapping[str, str], rules: Rules):
        self._text = text
        self._position = 0
        self._variables = variables
        self._rules = rules
        self._depth = 0
        self.used: dict[str, None] = {}
        self.unset: dict[str, None] = {}

    def parts(self, *, stop: str, keep_escapes: bool) -> list[tuple[bool, str]]:
        """Up to ``stop``, which is consumed, or the end: (may be split, text) of each piece."""
        parts: list[tuple[bool, str]] = []
        ordinary = _ORDINARY[self._rules.quotes]
        while character := self._peek():
            if character == stop:
                self._position += 1
                return parts
            if match := ordinary.match(self._text, self._position):
                self._position = match.end()
                parts.append((True, match.group()))
            elif character == "$":
                parts.append((True, self._dollar(keep_escapes=keep_escapes)))
            elif character == "<":
                parts += self._heredoc_start()
            elif self._rules.quotes and character == "'":
                parts.append((False, self._single_quoted()))
            elif self._rules.quotes and character == '"':
                parts.append((False, self._double_quoted(keep_escapes=keep_escapes)))
            elif character == self._rules.escape:
                self._position += 1
                if keep_escapes:
                    parts.append((False, character))
                parts.append((False, self._next()))
            else:
                parts.append((True, self._next()))
        if stop:
            raise ValueError(f"unexpected end of statement while looking for matching {stop}")
        return parts

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._peek()
        self._position += 1
        return character

    def _heredoc_start(self) -> list[tuple[bool, str]]:
        """``<<  NAME`` is one word, whatever stands between."""
        self._position += 1
        if self._peek() != "<":
            return [(False, "<")]
        self._position += 1
        match = re.compile(_HEREDOC_SPACE).match(self._text, self._position)
        spaces = match.group() if match else ""
        self._position += len(spaces)
        return [(False, f"<<{spaces}")]

    def _single_quoted(self) -> str:
        start = self._position + 1
        end = self._text.find("'", start)
        if end < 0:
            raise ValueError("unexpected end of statement while looking for matching single-quote")
        self._position = end + 1
        inner = self._text[start:end]
        return f"'{inner}'" if self._rules.keep_quotes else inner

    def _double_quoted(self, *, keep_escapes: bool) -> str:
        self._position += 1
        in_quotes = re.compile(_IN_QUOTES)
        parts = []
        while (character := self._peek()) != '"':
            if not character:
                raise ValueError(
                    "unexpected end of statement while looking for matching double-quote"
                )
            if match := in_quotes.match(self._text, self._position):
                self._position = match.end()
                parts.append(match.group())
            elif character == "$":
                parts.append(self._dollar(keep_escapes=keep_escapes))
            elif character == self._rules.escape:
                parts.append(self._escaped_in_quotes(keep_escapes=keep_escapes))
            else:
                parts.append(self._next())
        self._position += 1
        inner = "".join(parts)
        return f'"{inner}"' if self._rules.keep_quotes else inner

    def _escaped_in_quotes(self, *, keep_escapes: bool) -> str:
        """Only ``$``, the quote and itself can be escaped; elsewhere the escape is a character."""
        escape = self._next()
        kept = escape if keep_escapes else ""
        if not self._peek():
            return kept
        if self._peek() in ('"', "$", escape):
            return kept + self._next()
        return kept + escape

    def _dollar(self, *, keep_escapes: bool) -> str:
        self._position += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            if value is None:
                return f"${name}" if self._rules.keep_unset else ""
            return value
        self._position += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("variables are nested too deeply")
        value = self._braced()
        self._depth -= 1
        return value

    def _name(self) -> str:
        """A name, a number, or one of the shell's special parameters."""
        start = self._position
        first = self._peek()
        if first and first in _SPECIAL:
            self._position += 1
            return first
        digits = first.isdecimal()
        while (character := self._peek()) and (
            character.isdecimal() or (not digits and (character.isalpha() or character == "_"))
        ):
            self._position += 1
        return self._text[start : self._position]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        (self.unset if value is None else self.used)[name] = None
        return value

    def _braced(self) -> str:
        """What stands behind ``${``."""
        if not self._peek():
            raise ValueError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise ValueError("syntax error: bad substitution")
        name = self._name()
        modifier = self._next()
        if not modifier:
            raise ValueError("syntax error: missing '}'")
        if modifier == "}":
            value = self._value(name)
            if value is None:
                return f"${{{name}}}" if self._rules.keep_unset else ""
            return value
        if modifier == "/":
            return self._replacement(name)
        empty_is_unset = modifier == ":"
        operator = self._next() if empty_is_unset else modifier
        if operator not in ("-", "+", "?", "#", "%") or (empty_is_unset and operator in "#%"):
            shown = f":{operator}" if empty_is_unset else operator
            raise ValueError(f"unsupported modifier ({shown}) in substitution")
        word = self._until("}", keep_escapes=operator in "#%")
        value = self._value(name)
        if value is None and self._rules.keep_unset:
            return f"${{{name}{':' * empty_is_unset}{operator}{word}}}"
        if operator in "#%":
            return _trimmed(value or "", operator, word)
        missing = value is None or (empty_is_unset and not value)
        return _chosen(name, value, operator, word=word, missing=missing)

    def _until(self, stop: str, *, keep_escapes: bool) -> str:
        try:
            parts = self.parts(stop=stop, keep_escapes=keep_escapes)
        except ValueError:
            if self._peek():
                raise
            where = "" if stop == "}" else " in ${}"
            raise ValueError(f"syntax error: missing '{stop}'{where}") from None
        return "".join(part for _, part in parts)

    def _replacement(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._position += everywhere
        pattern = self._until("/", keep_escapes=True)
        text = self._until("}", keep_escapes=True)
        value = self._value(name)
        if value is None and self._rules.keep_unset:
            return f"${{{name}/{pattern}/{text}}}"
        try:
            return substitution.replace(value or "", pattern, text, everywhere=everywhere)
        except ValueError as error:
            raise ValueError(f"invalid pattern ({pattern}) in substitution: {error}") from None


def _trimmed(value: str, operator: str, pattern: str) -> str:
    longest = pattern.startswith(operator)
    pattern = pattern[longest:]
    remove = substitution.remove_prefix if operator == "#" else substitution.remove_suffix
    try:
        return remove(value, pattern, longest=longest)
    except ValueError as error:
        raise ValueError(f"invalid pattern ({pattern}) in substitution: {error}") from None


def _chosen(name: str, value: str | None, operator: str, *, word: str, missing: bool) -> str:
    """``-``: the value or else the word; ``+``: the word if there is a value; ``?``: or fail."""
    if operator == "-":
        return word if missing else value or ""
    if operator == "+":
        return "" if missing else word
    if missing:
        state = "unset" if value is None else "empty"
        raise ValueError(f"{name}: {word or f'is not allowed to be {state}'}")
    return value or ""
