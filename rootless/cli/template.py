"""Go templates, as far as ``--format`` needs them: text to tree (pure).  ``template_run`` executes it.

Known: fields, ``$`` variables, pipelines, parentheses, literals, comments, trim markers, ``if``,
``else if``, ``with``, ``range``, ``break``, ``continue``.  Not known: ``define``, ``template``, ``block``.
"""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Literal(NamedTuple):
    """A text, number, truth value or nil."""

    value: object


class Access(NamedTuple):
    """``.A.B``, ``$x.A`` or ``(...).A``: fields of the dot, of a variable or of a term."""

    start: str | Pipeline  # "." or "$name"
    fields: tuple[str, ...]


class Call(NamedTuple):
    """A function with what it is given."""

    function: str
    arguments: tuple[Term, ...]


class Pipeline(NamedTuple):
    """Calls of which each gives its result to the next, perhaps kept under names."""

    stages: tuple[Term, ...]
    names: tuple[str, ...] = ()
    declares: bool = True  # := rather than =


class Text(NamedTuple):
    """What stands between the actions."""

    text: str


class Show(NamedTuple):
    """``{{pipeline}}``"""

    pipeline: Pipeline


class Branch(NamedTuple):
    """``if``, ``with`` or ``range`` with both bodies."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Jump(NamedTuple):
    """``break`` or ``continue``."""

    keyword: str


Term = Literal | Access | Call | Pipeline
Node = Text | Show | Branch | Jump


class Token(NamedTuple):
    """A word of an action; ``spaced`` when a blank stands before it."""

    kind: str  # text number name field variable or the character itself
    value: str
    spaced: bool


def parse(source: str) -> tuple[Node, ...]:
    """The tree of a template.  Raises InvalidRequest that says what is wrong."""
    parser = _Parser(source, _pieces(source))
    nodes, end = parser.body()
    if end:
        raise parser.error(f"{end} without if, with or range")
    return nodes


def _pieces(source: str) -> Iterator[tuple[str, str]]:
    """Alternately ``("text", ...)`` and ``("action", ...)``, trim markers applied."""
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        if trim:
            text = text.lstrip(" \t\r\n")
        if start < 0:
            yield "text", text
            return
        stop = _action_end(source, start + 2)
        action = source[start + 2 : stop]
        if action[:1] == "-" and action[1:2] in " \t\r\n" and action[1:2]:
            text, action = text.rstrip(" \t\r\n"), action[1:]
        trim = action[-1:] == "-" and action[-2:-1] in (" ", "\t", "\r", "\n")
        yield "text", text
        yield "action", (action[:-1] if trim else action).strip()
        position = stop + 2


def _action_end(source: str, position: int) -> int:
    """Where ``}}`` ends an action, texts and comments skipped."""
    quote = ""
    while position < len(source):
        character = source[position]
        if quote:
            if character == "\\" and quote == '"':
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"`'":
            quote = character
        elif source.startswith("/*", position):
            position = source.find("*/", position) + 1 or len(source)
        elif source.startswith("}}", position):
            return position
        position += 1
    raise InvalidRequest(f"format {source!r}: an action has no }}}}")


def _tokens(action: str, source: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while position < len(action):
        start = position
        while position < len(action) and action[position] in " \t\r\n":
            position += 1
        if position == len(action):
            break
        kind, value, end = _token(action, position, source)
        tokens.append(Token(kind, value, start != position or not tokens))
        position = end
    return tokens


def _token(action: str, start: int, source: str) -> tuple[str, str, int]:
    character = action[start]
    following = action[start + 1 : start + 2]
    if character in '"`':
        return _quoted(action, start, source)
    if action.startswith(":=", start):
        return ":=", ":=", start + 2
    if character in "|(),=":
        return character, character, start + 1
    if character.isdigit() or (character in "+-." and following.isdigit()):
        end = _while(action, start + 1, lambda c: c.isalnum() or c in "._")
        return "number", action[start:end], end
    if character in ".$":
        end = _while(action, start + 1, _in_name)
        return ("field" if character == "." else "variable"), action[start:end], end
    if _in_name(character):
        end = _while(action, start + 1, _in_name)
        return "name", action[start:end], end
    raise InvalidRequest(f"format {source!r}: unexpected {character!r}")


def _in_name(character: str) -> bool:
    return character.isalnum() or character == "_"


def _while(text: str, position: int, belongs: object) -> int:
    while position < len(text) and belongs(text[position]):  # type: ignore[operator]  # see _token
        position += 1
    return position


def _quoted(action: str, start: int, source: str) -> tuple[str, str, int]:
    quote = action[start]
    end = start + 1
    while end < len(action) and action[end] != quote:
        end += 2 if action[end] == "\\" and quote == '"' else 1
    if end >= len(action):
        raise InvalidRequest(f"format {source!r}: a text has no closing {quote}")
    raw = action[start + 1 : end]
    if quote == '"' and "\\" in raw:
        raw = raw.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return "text", raw, end + 1


class _Parser:
    """Pieces to nodes by recursive descent."""

    def __init__(self, source: str, pieces: Iterator[tuple[str, str]]) -> None:
        self.source = source
        self.pieces = pieces
        self.tokens: list[Token] = []
        self.position = 0

    def error(self, message: str) -> InvalidRequest:
        return InvalidRequest(f"format {self.source!r}: {message}")

    def body(self) -> tuple[tuple[Node, ...], str]:
        """Nodes up to ``end`` or ``else``, which is returned too; the tokens after it are left."""
        nodes: list[Node] = []
        for kind, content in self.pieces:
            if kind == "text":
                if content:
                    nodes.append(Text(content))
                continue
            if content.startswith("/*"):
                continue
            self.tokens, self.position = _tokens(content, self.source), 0
            keyword = self.tokens[0].value if self.tokens else ""
            if self.tokens and self.tokens[0].kind == "name":
                if keyword in ("end", "else"):
                    self.position = 1
                    return tuple(nodes), keyword
                if keyword in ("if", "with", "range"):
                    self.position = 1
                    nodes.append(self.branch(keyword))
                    continue
                if keyword in ("break", "continue"):
                    nodes.append(Jump(keyword))
                    continue
                if keyword in ("define", "template", "block"):
                    raise self.error(f"{keyword} is not supported")
            nodes.append(Show(self.pipeline_to_end()))
        return tuple(nodes), ""

    def branch(self, keyword: str) -> Branch:
        pipeline = self.pipeline_to_end()
        body, end = self.body()
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            if self.position < len(self.tokens):  # else if, else with
                chained = self.tokens[self.position].value
                if chained not in ("if", "with"):
                    raise self.error(f"unexpected {chained!r} after else")
                self.position += 1
                return Branch(keyword, pipeline, body, (self.branch(chained),))
            otherwise, end = self.body()
        if end != "end":
            raise self.error(f"{keyword} has no end")
        return Branch(keyword, pipeline, body, otherwise)

    def peek(self) -> str:
        return self.tokens[self.position].kind if self.position < len(self.tokens) else ""

    def take(self) -> Token:
        if self.position >= len(self.tokens):
            raise self.error("an action ends too early")
        self.position += 1
        return self.tokens[self.position - 1]

    def pipeline_to_end(self) -> Pipeline:
        pipeline = self.pipeline()
        if self.position < len(self.tokens):
            raise self.error(f"unexpected {self.tokens[self.position].value!r}")
        return pipeline

    def pipeline(self) -> Pipeline:
        names, declares = self.names()
        stages = [self.command()]
        while self.peek() == "|":
            self.take()
            stages.append(self.command())
        for stage in stages[1:]:
            if not isinstance(stage, Call):
                raise self.error("only a function can stand after |")
        return Pipeline(tuple(stages), names, declares)

    def names(self) -> tuple[tuple[str, ...], bool]:
        """``$x :=`` or ``$key, $value :=`` before a pipeline."""
        kinds = [token.kind for token in self.tokens[self.position : self.position + 4]]
        count = 2 if kinds[:3] == ["variable", ",", "variable"] else 1
        length = 2 * count - 1
        if kinds[:1] != ["variable"] or kinds[length : length + 1] not in ([":="], ["="]):
            return (), True
        names = tuple(self.tokens[self.position + 2 * i].value for i in range(count))
        declares = kinds[length] == ":="
        self.position += length + 1
        return names, declares

    def command(self) -> Term:
        if self.peek() != "name" or self.tokens[self.position].value in ("true", "false", "nil"):
            return self.term()
        function = self.take().value
        arguments: list[Term] = []
        while self.peek() not in ("", "|", ")"):
            arguments.append(self.term())
        return Call(function, tuple(arguments))

    def term(self) -> Term:
        token = self.take()
        if token.kind == "text":
            return Literal(token.value)
        if token.kind == "number":
            return Literal(self.number(token.value))
        if token.kind == "name":
            constants: dict[str, object] = {"true": True, "false": False, "nil": None}
            if token.value in constants:
                return Literal(constants[token.value])
            return Call(token.value, ())
        if token.kind == "(":
            inner = self.pipeline()
            if self.take().kind != ")":
                raise self.error("a parenthesis is not closed")
            fields = self.fields()
            return Access(inner, fields) if fields else inner
        if token.kind == "variable":
            return Access(token.value, self.fields())
        if token.kind == "field":
            first = (token.value[1:],) if len(token.value) > 1 else ()
            return Access(".", first + self.fields())
        raise self.error(f"unexpected {token.value!r}")

    def fields(self) -> tuple[str, ...]:
        """``.A.B`` that follows without a blank."""
        names: list[str] = []
        while self.peek() == "field" and not self.tokens[self.position].spaced:
            names.append(self.take().value[1:])
        return tuple(names)

    def number(self, text: str) -> int | float:
        try:
            return int(text, 0)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:
            raise self.error(f"{text!r} is not a number") from None
