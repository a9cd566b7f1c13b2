"""The thorough reader: Typer commands made from the option table, for help and for whatever is wrong.

Only texts come from Typer; both readers turn them into values by the same ``argv.convert``.
"""

from __future__ import annotations

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from rootless.cli.argv import convert
from rootless.cli.commands import summary
from rootless.cli.shown import shown_groups
from rootless.cli.values import boolean
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.cli.argv import Values
    from rootless.cli.options.table import Argument, Command, Option

# click has no switch with a value: ``--rm=false`` is read as this prefix and the name.
_OFF = "--off:"
# Its errors, wherever this release of typer keeps them.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class HelpWanted(Exception):
    """The line asks for help; ``text`` is it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def read(command: Command, argv: Sequence[str]) -> Values:
    """What ``argv`` gives, as ``argv.read``.  Raises InvalidRequest with a remedy, or HelpWanted."""
    typed = _Typed(command)
    try:
        context = typed.make_context(f"rootless {command.name}", _plain_switches(command, argv))
    except _UsageError as error:
        raise _explain(command, error) from None
    texts: Values = context.params
    values: Values = {
        argument.name: texts[argument.name]
        for argument in command.arguments
        if texts[argument.name] is not None
    }
    given = [(option, text) for option in command.options() for text in texts[_key(option)]]
    values.update(convert([(o, t if isinstance(t, str) else str(t).lower()) for o, t in given]))
    return values


def help_text(command: Command, *, everything: bool = False) -> str:
    """What ``--help`` shows."""
    typed = _Typed(command)
    typed.everything = everything
    with typer.Context(typed, info_name=f"rootless {command.name}") as context:
        return typed.get_help(context)


def _key(option: Option) -> str:
    return "flag_" + option.name.replace("-", "_")


class _Typed(TyperCommand):
    """A Typer command whose help has the groups of the table."""

    def __init__(self, command: Command) -> None:
        self.table = command
        self.everything = False
        parameters = [
            *map(_typed_option, command.options()),
            *map(_typed_argument, command.arguments),
            *_help_options(command),
        ]
        super().__init__(
            command.name,
            params=parameters,
            help=summary(command.name)
            + "."
            + (f"\n\n{command.details}" if command.details else ""),
            add_help_option=False,
            rich_markup_mode=None,
            context_settings={"allow_interspersed_args": command.interspersed},
            options_metavar="[FLAGS]" if command.groups else "",
        )

    def format_options(self, ctx: object, formatter: object) -> None:
        """Groups with their titles, two columns each."""
        hidden = 0
        for group in shown_groups(self.table):
            options = (*group.options, *(group.further if self.everything else ()))
            hidden += len(group.further)
            rows = [_help_row(option) for option in options]
            if rows:
                with formatter.section(group.title):  # type: ignore[attr-defined]  # click's
                    formatter.write_dl(rows)  # type: ignore[attr-defined]
        if hidden and not self.everything:
            formatter.write_paragraph()  # type: ignore[attr-defined]
            text = f"{hidden} flags more: rootless {self.table.name} --help-all"
            formatter.write_text(text)  # type: ignore[attr-defined]


def _help_row(option: Option) -> tuple[str, str]:
    short = f"-{option.short[0]}, " if option.short else "    "
    name = f"{short}--{option.name} {option.metavar}".rstrip()
    if option.refused:
        return name, f"(refused: {option.refused})"
    if option.ignored:
        return name, f"(ignored: {option.ignored})"
    default = f" (default {option.default})" if option.default else ""
    return name, option.help + default


def _typed_option(option: Option) -> TyperOption:
    key, spellings = _key(option), [*option.spellings]
    if option.metavar:
        return TyperOption(param_decls=[key, *spellings], type=str, multiple=True, default=[])
    spellings[0] += f"/{_OFF}{option.name}"
    return TyperOption(
        param_decls=[key, *spellings], is_flag=True, multiple=True, default=[], type=bool
    )


def _typed_argument(argument: Argument) -> TyperArgument:
    metavar = argument.metavar + ("..." if argument.many else "")
    return TyperArgument(
        param_decls=[argument.name],
        type=str,
        metavar=metavar if argument.required else f"[{metavar}]",
        required=argument.required,
        nargs=-1 if argument.many else 1,
    )


def _help_options(command: Command) -> Iterator[TyperOption]:
    """``-h`` where the command has no such flag, ``--help``, ``--help-all``."""

    def show(context: object, parameter: TyperOption, wanted: bool) -> None:
        if wanted:
            everything = parameter.name == "help_all" or not any(g.options for g in command.groups)
            raise HelpWanted(help_text(command, everything=everything))

    names = ["--help"] if "-h" in command.spellings() else ["-h", "--help"]
    for key, decls in (("help", names), ("help_all", ["--help-all"])):
        yield TyperOption(
            param_decls=[key, *decls],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show,
        )


def _plain_switches(command: Command, argv: Sequence[str]) -> list[str]:
    """The line in the words of click: no switch with a value, no flag that may stand without one."""
    spellings = command.spellings()
    plain: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word[:1] != "-" or word in ("-", "--"):
            plain.append(word)
            if word == "--" or not command.interspersed:
                plain += rest
        elif word.startswith("--"):
            flag, equals, text = word.partition("=")
            if flag in spellings:
                plain += _plain(spellings[flag], text if equals else None, rest)
            else:
                plain.append(word)
        elif word == "-h" and word not in spellings:
            plain.append(word)
        else:
            plain += _plain_letters(command, word, rest)
    return plain


def _plain(option: Option, text: str | None, rest: Iterator[str]) -> tuple[str, ...]:
    """One flag by its long name."""
    if not option.metavar:
        return (_switch(option, text),)
    if text is None and not option.bare:
        return (f"--{option.name}", *_next(rest))
    return (f"--{option.name}={option.bare if text is None else text}",)


def _plain_letters(command: Command, word: str, rest: Iterator[str]) -> list[str]:
    """``-itv/a:/b`` as long flags."""
    spellings = command.spellings()
    plain: list[str] = []
    letters = word[1:]
    while letters:
        option = spellings.get(f"-{letters[0]}")
        if option is None:
            raise _unknown(command, f"-{letters[0]}")
        letters = letters[1:]
        attached = letters[0] == "=" if len(letters) > 1 else False
        if attached or (letters and option.metavar and not option.bare):
            return [*plain, *_plain(option, letters[attached:], rest)]
        plain += _plain(option, None, rest)
    return plain


def _next(words: Iterator[str]) -> tuple[str, ...]:
    word = next(words, None)
    return () if word is None else (word,)


def _switch(option: Option, text: str | None) -> str:
    try:
        on = text is None or boolean(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"--{option.name}: {error.message}") from None
    return f"--{option.name}" if on else f"{_OFF}{option.name}"


def _explain(command: Command, error: Exception) -> InvalidRequest:
    """click's error in our words."""
    hint = f"rootless {command.name} --help"
    unknown = getattr(error, "option_name", None)
    parameter = getattr(error, "param", None)
    if unknown is not None and unknown not in command.spellings():
        return _unknown(command, unknown)
    if unknown is not None:
        return InvalidRequest(f"{unknown} needs a value", hint=hint)
    if parameter is not None:
        missing = parameter.metavar or parameter.name
        return InvalidRequest(f"rootless {command.name} needs {missing}", hint=hint)
    words = " ".join(argument.metavar for argument in command.arguments) or "no arguments"
    return InvalidRequest(f"rootless {command.name} takes {words}, and no more", hint=hint)


def _unknown(command: Command, flag: str) -> InvalidRequest:
    from difflib import get_close_matches

    near = get_close_matches(flag, [*command.spellings(), "--help"], 1, 0.7)
    hint = f"did you mean {near[0]}?" if near else f"rootless {command.name} --help"
    return InvalidRequest(f"rootless {command.name} has no flag {flag}", hint=hint)
