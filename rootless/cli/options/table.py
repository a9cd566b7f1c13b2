"""What the option table is made of.  Readers, help, completion and documentation come from these values."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Option(NamedTuple):
    """One flag.  Without ``metavar`` it is a switch, which also takes ``=true`` and ``=false``.

    ``bare`` is the value of a flag that may stand without one.  A flag with ``refused`` is an error that
    says why; one with ``ignored`` is accepted and does nothing.
    """

    name: str
    metavar: str = ""
    help: str = ""
    convert: Callable[[str], object] | None = None
    short: str = ""
    many: bool = False
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    bare: str = ""
    default: str = ""  # as help shows it
    field: str = ""  # of the request; as a rule the name
    complete: str = (
        ""  # what it names: container image volume network secret file directory X-or-file
    )
    refused: str = ""
    ignored: str = ""

    @property
    def destination(self) -> str:
        """The key of its value in what a reader returns."""
        return self.field or self.name.replace("-", "_")

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every way to write it, the long name first."""
        return (
            f"--{self.name}",
            *(f"-{letter}" for letter in self.short),
            *(f"--{alias}" for alias in self.aliases),
        )


class Argument(NamedTuple):
    """A word that is no flag; ``many`` takes all that remain, and only the last may."""

    name: str
    metavar: str
    help: str = ""
    required: bool = True
    many: bool = False
    complete: str = ""


class Group(NamedTuple):
    """Flags under one title: those that the short help shows, and those that few need."""

    title: str
    options: tuple[Option, ...]
    further: tuple[Option, ...] = ()


class Command(NamedTuple):
    """One command.  ``interspersed`` is false where what follows the first word is not ours to read."""

    name: str
    groups: tuple[Group, ...] = ()
    arguments: tuple[Argument, ...] = ()
    interspersed: bool = True
    details: str = ""  # a paragraph for the long help

    def options(self) -> tuple[Option, ...]:
        """All of its flags, in the order of the table."""
        return tuple(o for group in self.groups for o in (*group.options, *group.further))

    def spellings(self) -> dict[str, Option]:
        """``--name`` and ``-n`` to flag."""
        index: dict[str, Option] = {}
        for option in self.options():
            index["--" + option.name] = option
            for letter in option.short:
                index["-" + letter] = option
            for alias in option.aliases:
                index["--" + alias] = option
        return index


def plain(*options: Option) -> tuple[Group, ...]:
    """The flags of a command that has few."""
    return (Group("Options", options),)
