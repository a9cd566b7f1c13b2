"""The option table fits together: spellings, functions and requests."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from rootless.cli import load
from rootless.cli.commands import ALIASES, COMMANDS, NOUNS, resolve
from rootless.cli.options.execution import EXEC, START
from rootless.cli.options.run import CREATE, RUN
from rootless.cli.shown import FRONT_END, shown_groups
from rootless.engine.options import is_supported
from rootless.engine.requests import RunRequest
from rootless.errors import InvalidRequest

if TYPE_CHECKING:
    from rootless.cli.options.table import Command


def commands() -> dict[str, Command]:
    return {name: load(name)[0] for name in COMMANDS} | {
        command.name: command for command in (RUN, CREATE, EXEC, START)
    }


@pytest.mark.parametrize("command", commands().values(), ids=lambda command: command.name)
def test_no_spelling_means_two_flags(command):
    spellings = [text for option in command.options() for text in option.spellings]
    assert sorted(set(spellings)) == sorted(spellings)
    assert not {"--help", "--help-all"} & set(spellings)
    for option in command.options():
        assert bool(option.help) + bool(option.refused) + bool(option.ignored) == 1, option.name
        assert len(option.help) <= 75, option.name


@pytest.mark.parametrize("command", commands().values(), ids=lambda command: command.name)
def test_only_the_last_argument_takes_the_rest(command):
    assert not any(argument.many for argument in command.arguments[:-1])
    needed = [argument.required for argument in command.arguments]
    assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_what_its_table_gives(name):
    command, function = load(name)
    assert command.name == name
    assert function.__doc__
    parameters = inspect.signature(function).parameters
    given = {o.destination for o in command.options() if not o.refused and not o.ignored}
    given |= {argument.name for argument in command.arguments}
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        assert given == set(parameters)
    for argument in command.arguments:
        if not argument.required and argument.name in parameters:
            assert parameters[argument.name].default is not inspect.Parameter.empty


@pytest.mark.parametrize("command", [RUN, CREATE], ids=lambda command: command.name)
def test_every_flag_of_run_is_a_field_of_the_request(command):
    fields = set(RunRequest._fields)
    for option in command.options():
        if not option.refused and not option.ignored:
            assert option.destination in fields | FRONT_END, option.name


def test_every_field_of_the_request_has_a_flag():
    flags = {option.destination for option in RUN.options()} | {"image", "args"}
    flags |= {"create_command", "create_directory"}  # what the front end knows of itself
    assert set(RunRequest._fields) - flags == set()


def test_aliases_lead_to_commands_and_nouns_are_known():
    for alias in ALIASES:
        assert " " not in alias or alias.split()[0] in {*NOUNS, "buildx", "builder"}
        assert alias not in COMMANDS


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["versoin"], "did you mean rootless version?"),
        (["--bug"], "flags follow the command"),
        (["--root", "/x", "ps"], "set ROOTLESS_HOME to a directory"),
        (["--log-level=debug", "ps"], "set ROOTLESS_DEBUG=1"),
        (["swarm", "init"], "there is no daemon"),
        (["image", "zzz"], "rootless image lists them"),
        (["image", "tre"], "did you mean rootless image tree?"),
        (["imag", "ls"], "did you mean rootless image?"),
    ],
)
def test_an_unknown_command_suggests_the_nearest(line, hint):
    with pytest.raises(InvalidRequest) as caught:
        resolve(line)
    assert caught.value.hint == hint


def test_what_the_engine_refuses_is_not_shown():
    shown = RUN._replace(groups=shown_groups(RUN)).options()
    for option in RUN.options():
        refused = option.destination in RunRequest._fields and not is_supported(option.destination)
        assert (option in shown) != (refused and not option.refused and not option.ignored)
