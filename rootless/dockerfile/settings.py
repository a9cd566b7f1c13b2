"""Parse the instructions that change only the image's configuration.  Pure."""

from __future__ import annotations

import re

from rootless.dockerfile.actions import command_line, exec_form
from rootless.dockerfile.flags import Given
from rootless.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.problems import did_you_mean, invalid
from rootless.dockerfile.quantities import duration_ns
from rootless.dockerfile.syntax import split_statement
from rootless.dockerfile.variables import SPACE
from rootless.dockerfile.words import BLANKS, split_plain, split_words
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.dockerfile.instructions import Instruction
    from rootless.dockerfile.syntax import Statement

_SHORTEST_NS = 1_000_000
_INTERVALS = ("interval", "timeout", "start-period", "start-interval")
_MOST_RETRIES = 2**31 - 1
_INTEGER = r"(?a)[+-]?[0-9]{1,20}"


def parse_env(statement: Statement, escape: str) -> Env:
    """``ENV K=V ...`` or ``ENV K V``."""
    Given(statement)
    pairs, legacy = _pairs(statement, escape)
    return Env(pairs, legacy, statement.origin)


def parse_label(statement: Statement, escape: str) -> Label:
    """``LABEL K=V ...`` or ``LABEL K V``."""
    Given(statement)
    pairs, legacy = _pairs(statement, escape)
    return Label(pairs, legacy, statement.origin)


def _pairs(statement: Statement, escape: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """The first word decides: with "=" all are pairs, without it there is one, value last."""
    keyword = statement.keyword.upper()
    words = split_words(statement.rest, escape)
    if not words:
        raise _needs(statement, "at least one argument")
    if "=" not in words[0]:
        name, *value = BLANKS.split(statement.rest, maxsplit=1)
        if not value:
            raise invalid(
                statement.origin,
                f"{keyword} must have two arguments",
                hint=f"{keyword} {name}=value",
            )
        return ((name, value[0]),), True
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise invalid(
                statement.origin,
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                word=word,
                offset=statement.rest_offset,
                hint="quote the value if it has spaces",
            )
        if not name:
            raise invalid(statement.origin, f"{keyword} names can not be blank", word=word)
        pairs.append((name, text))
    return tuple(pairs), False


def parse_arg(statement: Statement, escape: str) -> Arg:
    """``ARG NAME[=DEFAULT] ...``."""
    Given(statement)
    words = split_words(statement.rest, escape)
    if not words:
        raise _needs(statement, "at least one argument")
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        name, equals, default = word.partition("=")
        if not name:
            raise invalid(statement.origin, "ARG names can not be blank", word=word)
        pairs.append((name, default if equals else None))
    return Arg(tuple(pairs), statement.origin)


def parse_workdir(statement: Statement, escape: str) -> Workdir:
    """``WORKDIR PATH``; the path may hold spaces."""
    return Workdir(_one(statement), statement.origin)


def parse_user(statement: Statement, escape: str) -> User:
    """``USER NAME[:GROUP]``."""
    return User(_one(statement), statement.origin)


def parse_stop_signal(statement: Statement, escape: str) -> StopSignal:
    """``STOPSIGNAL SIGNAL``."""
    return StopSignal(_one(statement), statement.origin)


def parse_maintainer(statement: Statement, escape: str) -> Maintainer:
    """``MAINTAINER NAME``."""
    return Maintainer(_one(statement), statement.origin)


def _one(statement: Statement) -> str:
    Given(statement)
    if not statement.rest:
        raise _needs(statement, "exactly one argument")
    return statement.rest


def _needs(statement: Statement, what: str) -> Exception:
    return invalid(statement.origin, f"{statement.keyword.upper()} requires {what}")


def parse_cmd(statement: Statement, escape: str) -> Cmd:
    """``CMD COMMAND`` or ``CMD ["program", ...]``."""
    Given(statement)
    command, shell = command_line(statement)
    return Cmd(command, shell, statement.origin)


def parse_entrypoint(statement: Statement, escape: str) -> Entrypoint:
    """``ENTRYPOINT COMMAND`` or ``ENTRYPOINT ["program", ...]``."""
    Given(statement)
    command, shell = command_line(statement)
    return Entrypoint(command, shell, statement.origin)


def parse_shell(statement: Statement, escape: str) -> Shell:
    """``SHELL ["program", ...]``."""
    Given(statement)
    command, plain = command_line(statement)
    if not command:
        raise _needs(statement, "at least one argument")
    if plain:
        raise invalid(
            statement.origin,
            "SHELL requires the arguments to be in JSON form",
            offset=statement.rest_offset,
            hint='SHELL ["/bin/bash", "-c"]',
        )
    return Shell(command, statement.origin)


def parse_expose(statement: Statement, escape: str) -> Expose:
    """``EXPOSE PORT[/PROTOCOL] ...``."""
    Given(statement)
    ports = split_plain(statement.rest)
    if not ports:
        raise _needs(statement, "at least one argument")
    return Expose(tuple(sorted(ports)), statement.origin)


def parse_volume(statement: Statement, escape: str) -> Volume:
    """``VOLUME PATH ...`` or ``VOLUME ["path", ...]``."""
    Given(statement)
    paths = exec_form(statement, statement.rest)
    if paths is None:
        paths = split_plain(statement.rest)
    if not paths:
        raise _needs(statement, "at least one argument")
    paths = tuple(path.strip(SPACE) for path in paths)
    if not all(paths):
        raise invalid(statement.origin, "VOLUME specified can not be an empty string")
    return Volume(paths, statement.origin)


def parse_onbuild(statement: Statement, escape: str) -> Onbuild:
    """``ONBUILD INSTRUCTION``, kept with its heredocs."""
    Given(statement)
    if not statement.rest:
        raise _needs(statement, "at least one argument")
    inner = split_statement(statement.origin._replace(source=statement.rest), escape)
    keyword = inner.keyword.upper()
    if keyword == "ONBUILD":
        message = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
        raise invalid(statement.origin, message, offset=statement.rest_offset)
    if keyword in ("MAINTAINER", "FROM"):
        message = f"{keyword} isn't allowed as an ONBUILD trigger"
        raise invalid(statement.origin, message, offset=statement.rest_offset)
    documents = [f"\n{heredoc.content}{heredoc.name}" for heredoc in statement.heredocs]
    return Onbuild(statement.rest + "".join(documents), statement.origin)


def parse_healthcheck(statement: Statement, escape: str) -> Healthcheck:
    """``HEALTHCHECK [flags] CMD COMMAND`` or ``HEALTHCHECK NONE``."""
    if not statement.rest:
        raise _needs(statement, "at least one argument")
    given = Given(statement)
    kind, _, rest = _first_word(statement.rest)
    match kind.upper():
        case "NONE":
            if rest:
                raise invalid(statement.origin, "HEALTHCHECK NONE takes no arguments", word=rest)
            return Healthcheck(("NONE",), origin=statement.origin)
        case "CMD":
            test = _health_test(statement, rest)
        case _:
            raise invalid(
                statement.origin,
                f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)',
                offset=statement.rest_offset,
                hint=did_you_mean(kind.upper(), ("CMD", "NONE")),
            )
    interval, timeout, start_period, start_interval = (
        _interval(given, name) for name in _INTERVALS
    )
    return Healthcheck(
        test, interval, timeout, start_period, start_interval, _retries(given), statement.origin
    )


def _first_word(text: str) -> tuple[str, str, str]:
    for index, character in enumerate(text):
        if character in SPACE:
            return text[:index], character, text[index:].lstrip(SPACE)
    return text, "", ""


def _health_test(statement: Statement, rest: str) -> tuple[str, ...]:
    command, shell = command_line(statement, rest)
    if not command:
        raise invalid(statement.origin, "Missing command after HEALTHCHECK CMD")
    return ("CMD-SHELL" if shell else "CMD", *command)


def _interval(given: Given, name: str) -> int:
    text = given.text(name)
    if not text:
        return 0
    try:
        interval = duration_ns(text)
    except ValueError as error:
        raise invalid(
            given.origin, f"--{name}: {error}", offset=given.offset(name), hint="30s, 1m30s, 500ms"
        ) from None
    if interval and interval < _SHORTEST_NS:
        raise invalid(
            given.origin, f'Interval "{name}" cannot be less than 1ms', offset=given.offset(name)
        )
    return interval


def _retries(given: Given) -> int:
    text = given.text("retries")
    if not text:
        return 0
    if not re.fullmatch(_INTEGER, text) or int(text) > _MOST_RETRIES:
        message = f"--retries: {text!r} is not a number"
    elif int(text) < 0:
        message = f"--retries cannot be negative ({text})"
    else:
        return int(text)
    raise invalid(given.origin, message, offset=given.offset("retries"))


SETTINGS: dict[str, Callable[[Statement, str], Instruction]] = {
    "env": parse_env,
    "arg": parse_arg,
    "label": parse_label,
    "workdir": parse_workdir,
    "user": parse_user,
    "cmd": parse_cmd,
    "entrypoint": parse_entrypoint,
    "expose": parse_expose,
    "volume": parse_volume,
    "shell": parse_shell,
    "stopsignal": parse_stop_signal,
    "healthcheck": parse_healthcheck,
    "onbuild": parse_onbuild,
    "maintainer": parse_maintainer,
}
