"""Parse RUN, COPY and ADD, the instructions that make layers.  Pure."""

from __future__ import annotations

from rootless.dockerfile import mounts
from rootless.dockerfile.flags import Given
from rootless.dockerfile.instructions import Add, Copy, Heredoc, InlineFile, Run
from rootless.dockerfile.problems import did_you_mean, invalid
from rootless.dockerfile.syntax import parse_heredoc
from rootless.dockerfile.variables import expand
from rootless.dockerfile.words import json_strings, split_plain
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.dockerfile.syntax import Statement
    from rootless.typed import TypeVar

    T = TypeVar("T")

NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")


def parse_run(statement: Statement, escape: str) -> Run:
    """``RUN [--mount ...] COMMAND`` or ``RUN ["program", ...]``."""
    given = Given(statement)
    command, shell = command_line(statement)
    return Run(
        command,
        shell,
        statement.heredocs,
        mounts=_each(given, "mount", mounts.unresolved_mount),
        network=_choice(given, "network", NETWORKS, "invalid network mode"),
        security=_choice(given, "security", SECURITY, "security is not valid:"),
        devices=_each(given, "device", mounts.parse_device),
        origin=statement.origin,
    )


def command_line(statement: Statement, rest: str | None = None) -> tuple[tuple[str, ...], bool]:
    """A command and whether it is for the shell: the exec form is JSON, all else is shell form."""
    text = statement.rest if rest is None else rest
    strings = exec_form(statement, text)
    if strings is not None:
        return strings, False
    return ((text,) if text else ()), True


def exec_form(statement: Statement, text: str) -> tuple[str, ...] | None:
    """The JSON strings of ``text``; None if it is no JSON array."""
    try:
        return json_strings(text)
    except ValueError as error:
        raise invalid(statement.origin, str(error), word="[") from None


def _each(given: Given, name: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    values = []
    for index, text in enumerate(given.texts(name)):
        try:
            values.append(parse(text))
        except ValueError as error:
            raise invalid(
                given.origin,
                f"--{name}: {error}",
                offset=given.offset(name, index),
                hint=getattr(error, "hint", None),
            ) from None
    return tuple(values)


def _choice(given: Given, name: str, known: tuple[str, ...], complaint: str) -> str:
    """The value of a flag with a closed set of values, of which the first is the default."""
    value = given.text(name)
    if not given.has(name):
        return known[0]
    if value not in known:
        hint = did_you_mean(value, known) or f"one of {', '.join(known)}"
        raise invalid(given.origin, f'{complaint} "{value}"', offset=given.offset(name), hint=hint)
    return value


def parse_copy(statement: Statement, escape: str) -> Copy:
    """``COPY [flags] SOURCE ... TARGET``."""
    words = _paths(statement)
    given = Given(statement)
    sources, inline, target = _split_paths(statement, words)
    return Copy(
        sources,
        target,
        inline,
        from_name=_plain_name(given, "from", escape),
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=bool(given.switch("link")),
        parents=bool(given.switch("parents")),
        excludes=given.texts("exclude"),
        origin=statement.origin,
    )


def parse_add(statement: Statement, escape: str) -> Add:
    """``ADD [flags] SOURCE ... TARGET``."""
    words = _paths(statement)
    given = Given(statement)
    sources, inline, target = _split_paths(statement, words)
    return Add(
        sources,
        target,
        inline,
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=bool(given.switch("link")),
        excludes=given.texts("exclude"),
        checksum=given.text("checksum"),
        unpack=given.switch("unpack"),
        keep_git_dir=given.switch("keep-git-dir"),
        origin=statement.origin,
    )


def _plain_name(given: Given, name: str, escape: str) -> str:
    """A flag that decides which stages are needed, so it cannot wait for variables."""
    value = given.text(name)
    try:
        plain = expand(value, {}, escape=escape) == value
    except InvalidRequest:
        plain = False
    if not plain:
        raise invalid(
            given.origin,
            f"variable expansion is not supported for --{name}",
            offset=given.offset(name),
            hint="name a stage for it: ARG before the first FROM, FROM $ARG AS name",
        )
    return value


def _paths(statement: Statement) -> tuple[str, ...]:
    words = exec_form(statement, statement.rest)
    if words is None:
        words = split_plain(statement.rest)
    if len(words) < 2:
        raise invalid(
            statement.origin,
            f"{statement.keyword.upper()} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
            if words
            else f"{statement.keyword.upper()} requires at least two arguments",
        )
    return words


def _split_paths(
    statement: Statement, words: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[InlineFile, ...], str]:
    """Paths to copy from, documents to make files of, and where to."""
    documents = {heredoc.name: heredoc.text for heredoc in statement.heredocs}
    sources: list[str] = []
    inline: list[InlineFile] = []
    *origins, target = words
    if _heredoc(target):
        keyword = statement.keyword.upper()
        raise invalid(
            statement.origin, f"{keyword} cannot accept a heredoc as a destination", word=target
        )
    for word in origins:
        heredoc = _heredoc(word)
        if heredoc:
            content = documents.get(heredoc.name, "")
            inline.append(InlineFile(heredoc.name, content, heredoc.expand))
        else:
            sources.append(word)
    return tuple(sources), tuple(inline), target


def _heredoc(word: str) -> Heredoc | None:
    try:
        return parse_heredoc(word)
    except InvalidRequest:
        return None
