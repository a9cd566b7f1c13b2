"""Text → statements: directives, comments, continuations, heredocs, positions.  Pure."""

from __future__ import annotations

import re

from rootless.dockerfile.instructions import Directives, Heredoc, LintWarning, Origin
from rootless.dockerfile.problems import invalid
from rootless.dockerfile.variables import SPACE, Rules, read
from rootless.dockerfile.words import BLANKS, Flag, json_strings, split_flags
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES = ("syntax", "escape", "check")
_HEREDOC = r"([0-9]*)<<(-?)\s*([^<]*)\Z"
_CONTINUATION = {
    # The escape character continues a line unless another one escapes it.
    escape: rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*\Z"
    for escape in ("\\", "`")
}
_TAKES_HEREDOCS = ("add", "copy", "run")


class Statement(NamedTuple):
    """One instruction, split but not yet understood."""

    keyword: str  # as written
    flags: tuple[Flag, ...]
    rest: str  # the arguments, trimmed
    rest_offset: int  # of ``rest`` in the source
    heredocs: tuple[Heredoc, ...]
    origin: Origin


class Document(NamedTuple):
    """A file as statements."""

    directives: Directives
    statements: tuple[Statement, ...]
    warnings: tuple[LintWarning, ...]


def read_document(text: str, *, name: str) -> Document:
    """Split a whole file.  Raises InvalidRequest with the position."""
    lines = text.removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    directives = read_directives(lines, name=name)
    reader = _Reader(lines, directives, name)
    statements = tuple(reader.statements())
    return Document(directives, statements, tuple(reader.warnings))


def read_directives(lines: Sequence[str], *, name: str) -> Directives:
    """The ``# key=value`` lines at the very top; anything else ends them.

    A ``#!`` line may stand before them, though BuildKit then does not see ``escape``.
    """
    start = len(lines) and lines[0].startswith("#!")
    found: dict[str, str] = {}
    for number in range(start, len(lines)):
        match = _DIRECTIVE.match(lines[number].lstrip(SPACE))
        key = match.group(1).lower() if match else ""
        if not match or key not in _DIRECTIVES:
            break
        origin = Origin(name=name, line=number + 1)
        if key in found:
            raise invalid(origin, f"only one {key} parser directive can be used")
        found[key] = match.group(2).rstrip(SPACE)
        if key == "escape" and found[key] not in _CONTINUATION:
            raise invalid(origin, f"invalid escape token '{found[key]}' does not match ` or \\")
    if start:
        found.pop("escape", None)
    # What follows a space is a remark, as in "# syntax=docker/dockerfile:1 please".
    syntax = found.get("syntax", "").partition(" ")[0]
    check = found.get("check", "").partition(" ")[0]
    return Directives(syntax, found.get("escape", "\\"), check, line_count=len(found))


class _Reader:
    """Walk over the lines once."""

    def __init__(self, lines: list[str], directives: Directives, name: str):
        self._lines = lines
        self._next = 0
        self._escape = directives.escape
        self._name = name
        self._directives = directives.line_count
        self.warnings: list[LintWarning] = []

    def statements(self) -> list[Statement]:
        statements = []
        comments: list[str] = []
        while self._next < len(self._lines):
            line = self._lines[self._next].lstrip(SPACE)
            if line.startswith("#"):
                self._comment(line[1:].strip(SPACE), comments)
            elif line:
                statement = self._statement(tuple(comments))
                comments.clear()
                if statement:
                    statements.append(statement)
                continue
            self._next += 1
        return statements

    def _comment(self, comment: str, comments: list[str]) -> None:
        """Comments belong to the next instruction; an empty one ends what was said before."""
        is_directive = self._next < self._directives + self._lines[0].startswith("#!")
        if not comment or is_directive:
            comments.clear()
        else:
            comments.append(comment)

    def _statement(self, comments: tuple[str, ...]) -> Statement | None:
        first = self._next + 1
        source, pieces = self._joined()
        origin = Origin(
            name=self._name,
            line=first,
            end_line=self._next,
            source=source,
            comments=comments,
            pieces=pieces,
        )
        if not source:
            return None
        statement = split_statement(origin, self._escape)
        heredocs = tuple(
            self._heredoc(each, origin) for each in heredocs_of(statement, self._escape)
        )
        if heredocs:
            origin = origin._replace(end_line=self._next)
            statement = statement._replace(heredocs=heredocs, origin=origin)
        return statement

    def _joined(self) -> tuple[str, tuple[tuple[int, int, int], ...]]:
        """The instruction without its line ends, and where each piece of it came from."""
        parts: list[str] = []
        pieces: list[tuple[int, int, int]] = []
        length = 0
        saw_empty_line = False
        continues = True
        while continues and self._next < len(self._lines):
            raw = self._lines[self._next].rstrip("\r")
            self._next += 1
            stripped = raw.lstrip(SPACE)
            if parts and (not stripped or stripped.startswith("#")):
                saw_empty_line |= not stripped
                continue
            # Only the first line loses its indentation: the others may be inside quotes.
            text = raw if parts else stripped
            pieces.append((length, self._next, 1 + len(raw) - len(text)))
            text, continues = self._without_continuation(text)
            parts.append(text)
            length += len(text)
        if saw_empty_line:
            self.warnings.append(
                LintWarning("NoEmptyContinuation", "Empty continuation line", self._next)
            )
        joined = "".join(parts)
        source = joined.strip(SPACE)
        lead = len(joined) - len(joined.lstrip(SPACE))
        return source, tuple((start - lead, line, column) for start, line, column in pieces)

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        match = re.search(_CONTINUATION[self._escape], line)
        return (line[: match.start()], True) if match else (line, False)

    def _heredoc(self, heredoc: Heredoc, origin: Origin) -> Heredoc:
        """Read lines up to the one that is the heredoc's name."""
        content: list[str] = []
        while self._next < len(self._lines):
            raw = self._lines[self._next]
            self._next += 1
            line = raw.rstrip("\r")
            if heredoc.strip_tabs:
                line = line.lstrip("\t")
            if line == heredoc.name:
                return heredoc._replace(content="".join(content))
            content.append(f"{raw}\n")
        raise invalid(
            origin,
            f"unterminated heredoc {heredoc.name}",
            word="<<",
            hint=f"end it with a line that is just {heredoc.name}, or quote a << that is none",
        )


def split_statement(origin: Origin, escape: str) -> Statement:
    """Keyword, flags and arguments of one instruction."""
    source = origin.source
    gap = BLANKS.search(source)
    if not gap:
        return Statement(source, (), "", len(source), (), origin)
    keyword = source[: gap.start()]
    tail = source[gap.end() :]
    flags, position = split_flags(tail, escape)
    rest = tail[position:].lstrip(SPACE)
    offset = len(source) - len(rest)
    flags = tuple(flag._replace(offset=gap.end() + flag.offset) for flag in flags)
    return Statement(keyword, flags, rest, offset, (), origin)


def heredocs_of(statement: Statement, escape: str) -> tuple[Heredoc, ...]:
    """The heredocs that the instruction announces, still empty."""
    if "<<" not in statement.origin.source or not _takes_heredocs(statement, escape):
        return ()
    rules = Rules(keep_quotes=True, keep_escapes=True, keep_unset=True)
    try:
        words = read(statement.origin.source, {}, rules=rules).words
    except InvalidRequest:
        # Quotes that do not end are for the shell to refuse, and it has the better message.
        return ()
    try:
        return tuple(heredoc for heredoc in map(parse_heredoc, words) if heredoc)
    except InvalidRequest as error:
        raise invalid(statement.origin, error.message, word="<<") from None


def _takes_heredocs(statement: Statement, escape: str) -> bool:
    keyword = statement.keyword.lower()
    rest = statement.rest
    if keyword == "onbuild":
        inner = split_statement(Origin(source=rest), escape)
        keyword, rest = inner.keyword.lower(), inner.rest
    if keyword not in _TAKES_HEREDOCS:
        return False
    try:
        return json_strings(rest) is None
    except ValueError:
        return False


def parse_heredoc(word: str) -> Heredoc | None:
    """``<<NAME`` in any of its spellings, or None for any other word."""
    match = re.match(_HEREDOC, word)
    if not match or not match.group(3):
        return None
    name = match.group(3)
    rules = Rules(keep_unset=True)
    words = read(name, {}, rules=rules).words
    if len(words) != 1:
        return None
    raw = read(name, {}, rules=rules._replace(keep_quotes=True)).words
    # A quote that disappears quoted some part of the name: then the document is literal.
    expand = _quotes(words[0]) == _quotes("".join(raw))
    return Heredoc(words[0], "", expand=expand, strip_tabs=match.group(2) == "-")


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
