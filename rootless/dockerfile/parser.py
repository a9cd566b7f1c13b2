"""Text → Dockerfile: a parser for every keyword.  Pure.

Errors are InvalidRequest, ``Dockerfile:12:5: ...``, with the nearest right name as hint.
"""

from __future__ import annotations

from rootless.dockerfile.actions import parse_add, parse_copy, parse_run
from rootless.dockerfile.flags import Given
from rootless.dockerfile.instructions import Arg, Dockerfile, From, Instruction, Stage
from rootless.dockerfile.problems import did_you_mean, invalid
from rootless.dockerfile.settings import SETTINGS
from rootless.dockerfile.syntax import Statement, read_document
from rootless.dockerfile.words import split_plain
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PARSERS: dict[str, Callable[[Statement, str], Instruction]] = {
    "add": parse_add,
    "copy": parse_copy,
    "run": parse_run,
    **SETTINGS,
}
KEYWORDS = ("from", *_PARSERS)


def parse(text: str, *, name: str = "Dockerfile") -> Dockerfile:
    """Read a whole Dockerfile; ``name`` is how errors call it."""
    document = read_document(text, name=name)
    if not document.statements:
        raise InvalidRequest(f"{name}: file with no instructions")
    escape = document.directives.escape
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for statement in document.statements:
        if statement.keyword.lower() == "from":
            stages.append((parse_from(statement), []))
            continue
        instruction = parse_instruction(statement, escape)
        if stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            raise invalid(
                statement.origin,
                "no build stage in current context",
                hint=f"only ARG may stand before the first FROM, not {statement.keyword}",
            )
    if not stages:
        raise InvalidRequest(f"{name}: dockerfile contains no stages to build")
    return Dockerfile(
        tuple(Stage(base, tuple(instructions)) for base, instructions in stages),
        tuple(global_args),
        document.directives,
        document.warnings,
        name,
    )


def parse_trigger(expression: str, *, escape: str = "\\", origin: str = "ONBUILD") -> Instruction:
    """An ONBUILD of the base image, as an instruction of the stage; ``origin`` names it in errors.

    It may have been written with another escape character; BuildKit takes it for ``\\`` always.
    """
    document = read_document(expression, name=origin)
    if len(document.statements) != 1:
        raise InvalidRequest(f"{origin}: onbuild trigger should be a single expression")
    statement = document.statements[0]
    if statement.keyword.lower() in ("from", "maintainer", "onbuild"):
        keyword = statement.keyword.upper()
        raise invalid(statement.origin, f"{keyword} isn't allowed as an ONBUILD trigger")
    return parse_instruction(statement, escape)


def parse_instruction(statement: Statement, escape: str) -> Instruction:
    """Any instruction but FROM."""
    parser = _PARSERS.get(statement.keyword.lower())
    if not parser:
        raise invalid(
            statement.origin,
            f"unknown instruction: {statement.keyword}",
            hint=_right_keyword(statement.keyword),
        )
    return parser(statement, escape)


def _right_keyword(keyword: str) -> str | None:
    near = did_you_mean(keyword.lower(), KEYWORDS)
    if near and keyword != keyword.lower():
        *words, last = near.split(" ")
        return " ".join([*words, last.upper()])
    return near


def parse_from(statement: Statement) -> From:
    """``FROM [--platform=P] IMAGE [AS NAME]``."""
    image, *alias = split_plain(statement.rest) or ("",)
    if not image or (alias and (len(alias) != 2 or alias[0].lower() != "as")):
        raise invalid(
            statement.origin,
            "FROM requires either one or three arguments",
            hint="FROM image, or FROM image AS name",
        )
    name = alias[1].lower() if alias else None
    if name is not None and not _is_stage_name(name):
        raise invalid(
            statement.origin,
            f'invalid name for build stage: "{alias[1]}", name can\'t start with a number or contain symbols',
            word=alias[1],
            offset=statement.origin.source.rfind(alias[1]),
        )
    given = Given(statement)
    return From(image, name, given.text("platform"), statement.origin)


def _is_stage_name(name: str) -> bool:
    return "a" <= name[:1] <= "z" and all(
        "a" <= each <= "z" or "0" <= each <= "9" or each in "-_." for each in name
    )
