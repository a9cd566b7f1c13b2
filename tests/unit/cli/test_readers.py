"""Both readers of the command line read the same: the fast one, and the one made with Typer."""

from __future__ import annotations

import random

import pytest

from rootless.cli import argv, load, typer_reader
from rootless.cli.commands import COMMANDS
from rootless.cli.options.execution import EXEC, START
from rootless.cli.options.run import CREATE, RUN
from rootless.cli.options.table import Argument, Command, Option, plain
from rootless.cli.shown import shown_groups
from rootless.errors import InvalidRequest, RootlessError, Unsupported

TABLES = {command.name: command for command in (RUN, CREATE, EXEC, START)} | {
    name: load(name)[0] for name in COMMANDS
}
MIXED = Command(
    "mixed",
    plain(
        Option("switch", "", short="s"),
        Option("other", "", short="o", default="true"),
        Option("text", "TEXT", short="t", aliases=("words",)),
        Option("list", "TEXT", short="l", many=True),
        Option("bare", "MODE", short="b", bare="always"),
        Option("kind", "KIND", choices=("one", "two")),
        Option("gone", "X", refused="it is gone"),
        Option("noise", "", ignored="it means nothing"),
    ),
    (Argument("first", "FIRST"), Argument("rest", "REST", required=False, many=True)),
)
SAMPLES = (
    "",
    "x",
    "7",
    "64m",
    "30s",
    "a=b",
    "/a:/b:ro",
    "type=tmpfs,dst=/t",
    "-",
    "--",
    "-x",
    "0022",
    "né",
)


def outcome(read, command: Command, line: list[str]) -> object:
    try:
        return read(command, line)
    except typer_reader.HelpWanted:
        return "help"
    except RootlessError:  # which of several mistakes is named first may differ
        return "error"


def random_line(chance: random.Random, command: Command) -> list[str]:
    """Flags in every way to write them, right and wrong values, words in between."""
    options = command.options() or (Option("none"),)
    line: list[str] = []
    for _ in range(chance.randrange(5)):
        option = chance.choice(options)
        values = [*SAMPLES, *option.choices, "true", "false"]
        spelling, value = chance.choice(option.spellings), chance.choice(values)
        switches = [o.short for o in options if o.short and not o.metavar]
        if spelling[1] != "-" and switches and chance.random() < 0.5:
            spelling = "-" + chance.choice(switches) + spelling[1:]
        match chance.randrange(6):
            case 0:
                line.append(f"{spelling}={value}")
            case 1 if spelling[1] != "-":
                line.append(spelling + value)
            case 2:
                line.append(spelling)
            case _:
                line += [spelling, value] if option.metavar else [spelling]
        if chance.random() < 0.15:
            line.append(chance.choice(("word", "-", "--", "--unknown", "-?")))
    line += chance.choices(("image", "sh", "-c", "--rm", "x"), k=chance.randrange(4))
    return line


@pytest.mark.parametrize("name", ["mixed", *TABLES])
def test_both_readers_agree_on_random_lines(name):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    command = TABLES.get(name, MIXED)
    understood = 0
    lines = 2000 if name in ("mixed", "run") else 300
    for number in range(10 * lines):
        if number >= lines and understood:
            break
        line = random_line(chance, command)
        fast = outcome(argv.read, command, line)
        if fast is None:
            assert outcome(typer_reader.read, command, line) in ("error", "help"), (seed, line)
            continue
        understood += 1
        assert outcome(typer_reader.read, command, line) == fast, (seed, line)
    assert understood, seed


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("-it --rm -e A=1 -eB=2 -e=C=3 a b", {"env": ("A=1", "B=2", "C=3"), "args": ("b",)}),
        ("--rm=false --rm --net host a", {"rm": True, "network": ("host",)}),
        ("-itw /x a", {"workdir": "/x", "interactive": True, "tty": True}),
        ("-itw/x a", {"workdir": "/x"}),
        ("--entrypoint --help a", {"entrypoint": ("--help",)}),
        ("-m1.5g --pids-limit -1 a", {"memory": 3 << 29, "pids_limit": -1}),
        ("a --rm -- -x", {"image": "a", "args": ("--rm", "--", "-x")}),
        ("-- a -- b", {"image": "a", "args": ("--", "b")}),
        ("-h web a", {"hostname": "web"}),
        ("--tls-verify=false a", {"tls_verify": False}),
        ("--disable-content-trust --cpu-rt-period 5 a", {"image": "a"}),
    ],
)
def test_run_reads_as_docker_does(line, values):
    words = line.split()
    found = argv.read(RUN, words)
    assert found is not None
    assert found == found | values
    assert typer_reader.read(RUN, words) == found


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--privilegd a", "rootless run has no flag --privilegd", "did you mean --privileged?"),
        ("-Z a", "rootless run has no flag -Z", "rootless run --help"),
        ("-iZ a", "rootless run has no flag -Z", "rootless run --help"),
        ("--name", "--name needs a value", "rootless run --help"),
        ("-e", "--env needs a value", "rootless run --help"),
    ],
)
def test_mistakes_are_named_with_a_remedy(line, message, hint):
    words = line.split()
    assert argv.read(RUN, words) is None
    with pytest.raises(InvalidRequest) as caught:
        typer_reader.read(RUN, words)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_word_too_many_is_an_error():
    version = load("version")[0]
    assert argv.read(version, ["now"]) is None
    with pytest.raises(InvalidRequest, match="takes no arguments"):
        typer_reader.read(version, ["now"])


@pytest.mark.parametrize("read", [argv.read, typer_reader.read])
def test_values_that_cannot_be_are_refused_by_the_name_of_their_flag(read):
    with pytest.raises(InvalidRequest, match=r"--memory: 'lots' is not a size"):
        read(RUN, ["--memory", "lots", "a"])
    with pytest.raises(InvalidRequest, match="--pull cannot be 'maybe'"):
        read(RUN, ["--pull=maybe", "a"])
    with pytest.raises(InvalidRequest, match="--rm: 'perhaps' is neither true nor false"):
        read(RUN, ["--rm=perhaps", "a"])
    with pytest.raises(Unsupported, match="--pod is not possible: there are no pods"):
        read(RUN, ["--pod", "p", "a"])


def test_help_is_short_and_help_all_has_everything():
    with pytest.raises(typer_reader.HelpWanted) as short:
        typer_reader.read(RUN, ["--help"])
    with pytest.raises(typer_reader.HelpWanted) as long:
        typer_reader.read(RUN, ["--help-all"])
    assert "--help-all" in short.value.text
    assert "--name " in short.value.text
    assert "--annotation" not in short.value.text
    for option in RUN._replace(groups=shown_groups(RUN)).options():
        assert f"--{option.name}" in long.value.text


def test_minus_h_is_help_unless_the_command_has_such_a_flag():
    with pytest.raises(typer_reader.HelpWanted):
        typer_reader.read(START, ["-h"])
