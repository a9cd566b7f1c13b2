"""Execute a parsed template on a value: documents, rows, texts.  Pure."""

from __future__ import annotations

from rootless.cli.template import Access, Branch, Call, Jump, Literal, Pipeline, Show, Text, parse
from rootless.cli.template_functions import FUNCTIONS, show, truth
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.cli.template import Node, Term


class Fields(dict[str, object]):
    """A mapping whose keys are all there are: another one is an error, as for a Go struct."""


def render(source: str, value: object) -> str:
    """The text that a template makes of a value."""
    return render_all(parse(source), value, source)


def render_all(nodes: tuple[Node, ...], value: object, source: str) -> str:
    """The same of a template that is already parsed."""
    runner = _Runner(value, source)
    try:
        runner.run(nodes, value)
    except _Jump:
        raise InvalidRequest(f"format {source!r}: break or continue without range") from None
    return "".join(runner.output)


class _Jump(Exception):
    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


class _Runner:
    """One execution: what was written, and the variables by scope."""

    def __init__(self, value: object, source: str) -> None:
        self.output: list[str] = []
        self.scopes: list[dict[str, object]] = [{"$": value}]
        self.source = source

    def fail(self, message: str) -> NoReturn:
        raise InvalidRequest(f"format {self.source!r}: {message}")

    def run(self, nodes: Iterable[Node], dot: object) -> None:
        for node in nodes:
            match node:
                case Text(text=text):
                    self.output.append(text)
                case Show(pipeline=pipeline):
                    value = self.pipeline(pipeline, dot)
                    if not pipeline.names:
                        self.output.append(show(value))
                case Branch():
                    self.scopes.append({})
                    self.branch(node, dot)
                    self.scopes.pop()
                case Jump(keyword=keyword):
                    raise _Jump(keyword)

    def branch(self, node: Branch, dot: object) -> None:
        if node.keyword == "range":
            self.loop(node, dot)
            return
        value = self.pipeline(node.pipeline, dot)
        inner = value if node.keyword == "with" else dot
        if truth(value):
            self.run(node.body, inner)
        else:
            self.run(node.otherwise, dot)

    def loop(self, node: Branch, dot: object) -> None:
        names = node.pipeline.names
        items = self.items(self.pipeline(node.pipeline._replace(names=()), dot))
        depth = len(self.scopes)
        for key, value in items:
            scope: dict[str, object] = {}
            if names:
                scope[names[-1]] = value
                if len(names) == 2:
                    scope[names[0]] = key
            self.scopes.append(scope)
            try:
                self.run(node.body, value)
            except _Jump as jump:
                if jump.keyword == "break":
                    break
            finally:
                del self.scopes[depth:]
        if not items:
            self.run(node.otherwise, dot)

    def items(self, value: object) -> list[tuple[object, object]]:
        if value is None:
            return []
        if isinstance(value, dict):
            return sorted(value.items(), key=lambda item: str(item[0]))
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(number, number) for number in range(value)]
        return self.fail(f"cannot range over {show(value)!r}")

    def pipeline(self, pipeline: Pipeline, dot: object) -> object:
        value = self.term(pipeline.stages[0], dot)
        for stage in pipeline.stages[1:]:
            assert isinstance(stage, Call)
            value = self.call(stage, dot, (value,))
        for name in pipeline.names:
            self.keep(name, value, declares=pipeline.declares)
        return value

    def keep(self, name: str, value: object, *, declares: bool) -> None:
        if declares:
            self.scopes[-1][name] = value
            return
        for scope in reversed(self.scopes):
            if name in scope:
                scope[name] = value
                return
        self.fail(f"no variable {name}")

    def term(self, term: Term, dot: object) -> object:
        match term:
            case Literal(value=value):
                return value
            case Access(start=start, fields=fields):
                return self.access(start, fields, dot)
            case Call():
                return self.call(term, dot, ())
            case Pipeline():
                return self.pipeline(term, dot)

    def access(self, start: str | Pipeline, fields: tuple[str, ...], dot: object) -> object:
        value: object
        if start == ".":
            value = dot
        elif isinstance(start, Pipeline):
            value = self.pipeline(start, dot)
        else:
            value = self.variable(start)
        for field in fields:
            value = self.field(value, field)
        return value

    def variable(self, name: str) -> object:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return self.fail(f"no variable {name}")

    def field(self, value: object, name: str) -> object:
        if isinstance(value, dict):
            if name in value:
                return value[name]
            if isinstance(value, Fields):
                alike = [key for key in value if _plain(key) == _plain(name)]
                if (
                    alike
                ):  # podman's templates say IPv6Enabled for what its documents call ipv6_enabled
                    return value[alike[0]]
                self.fail(f"there is no .{name}; there are {_list(value)}")
            return None
        if value is None:
            self.fail(f"nothing has a .{name}")
        return self.fail(f"{show(value)!r} has no .{name}")

    def call(self, call: Call, dot: object, piped: tuple[object, ...]) -> object:
        function = FUNCTIONS.get(call.function)
        if call.function in ("and", "or") and function is None:
            return self.logic(call, dot, piped)
        if function is None:
            self.fail(f"no function {call.function!r}")
        arguments = [self.term(term, dot) for term in call.arguments]
        try:
            return function(*arguments, *piped)
        except InvalidRequest as error:
            return self.fail(f"{call.function}: {error.message}")
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            return self.fail(f"{call.function} cannot be used like that")

    def logic(self, call: Call, dot: object, piped: tuple[object, ...]) -> object:
        """``and`` and ``or`` stop at the first that decides, and give it."""
        value: object = None
        for term in (*call.arguments, *map(Literal, piped)):
            value = self.term(term, dot)
            if truth(value) == (call.function == "or"):
                return value
        return value


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _list(fields: Mapping[str, object]) -> str:
    return " ".join(f".{name}" for name in fields)
