"""Random Dockerfiles: they are understood or refused with a position, and never take long.

    python3 -m tests.fuzz.fuzz_dockerfile --seconds 3600 [--seed N]

A failure prints the seed of its case; ``--seed N --cases 1`` repeats it alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rootless.dockerfile.arguments import global_scope, resolve_arg
from rootless.dockerfile.expansion import expand_base, expand_instruction
from rootless.dockerfile.ignore import Ignore, read_ignore_file
from rootless.dockerfile.instructions import Arg, Onbuild
from rootless.dockerfile.lint import Facts, lint
from rootless.dockerfile.parser import parse, parse_trigger
from rootless.dockerfile.rules import RULES
from rootless.errors import InvalidRequest
from tests.fuzz.harness import expect, main

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from rootless.dockerfile.instructions import Dockerfile, Instruction

VALUES = {
    "A": "alpha",
    "B": "b c",
    "EMPTY": "",
    "PATH": "/bin:/usr/bin",
    "N": "line\nline",
    "Q": "'\"\\$",
}
NAMES = (*VALUES, "NONE", "TARGETARCH", "1", "@", "")
KEYWORDS = (
    *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "CMD", "ENTRYPOINT", "WORKDIR", "USER"),
    *(
        "EXPOSE",
        "VOLUME",
        "SHELL",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ONBUILD",
        "MAINTAINER",
        "RUNN",
        "#",
        "",
    ),
)
FLAGS = (
    *(
        "--from=a",
        "--from=$A",
        "--chown=$A:b",
        "--chmod=u+x",
        "--chmod=0644",
        "--link",
        "--link=false",
    ),
    *(
        "--parents",
        "--exclude=*.o",
        '--exclude="a b"',
        "--checksum=sha256:0",
        "--unpack",
        "--keep-git-dir",
    ),
    *(
        "--network=none",
        "--network=hots",
        "--security=insecure",
        "--device=v.com/c=a,required",
        "--",
    ),
    *("--platform=$TARGETPLATFORM", "--platform=linux/amd64", "--interval=30s", "--timeout=1.5h"),
    *("--retries=3", "--retries=-1", "--start-period=1ms", "--x", "--mount"),
    *(
        f"--mount={options}"
        for options in (
            "type=cache,target=/c,sharing=locked,mode=0700,uid=1,gid=2,id=$A",
            "type=bind,from=a,src=b,dst=/c,rw",
            "type=secret,id=s,env=TOKEN,required",
            "type=tmpfs,target=/t,size=1.5g",
            "type=ssh,mode=0600",
            "type=$A,target=$B",
            'type=bind,"target=/a,b"',
            "tagret=/x",
        )
    ),
)
WORDS = (
    *("a", "b.c", "/d/", "*.txt", "**", "x=1", 'y="2 3"', "z='4'", "k=", "=v", "80/tcp", "1-2/UDP"),
    *(
        "127.0.0.1:80:80",
        "SIGTERM",
        "user:group",
        "NONE",
        "CMD",
        "AS",
        "as",
        "scratch",
        "busybox:1",
    ),
    *(
        "https://h/a.tar",
        "git@h:a.git#b:c",
        "<<EOF",
        "<<-EOF",
        "<<'E'",
        "3<<A",
        "<<",
        "<<<",
        "&&",
        "|",
    ),
    *(
        '["a", "b"]',
        '["a"',
        "[1]",
        "[]",
        '[["a"]]',
        "['a']",
        "\\",
        "\\\\",
        "`",
        "'",
        '"',
        "$",
        "${",
        "}",
    ),
    *(
        "é",
        "\u2028",
        "\x85",
        "\xa0",
        "\ud7ff",
        "\U0001f600",
        "\x00",
        "\x1c",
        "\t",
        "#",
        "# x",
        "--flag",
    ),
)
OPERATORS = (
    "",
    ":-",
    "-",
    ":+",
    "+",
    ":?",
    "?",
    "#",
    "##",
    "%",
    "%%",
    "/",
    "//",
    ":",
    "=",
    ":#",
    "!",
)
GLUE = (" ", " ", " ", "  ", "\t", " \\\n", "\\\n", " \\\n\n", " \\\n# c\n", "`\n", "\r\n", "\x0b")
TOPS = (
    *("# escape=`", "# escape=\\", "# escape=x", "# syntax=docker/dockerfile:1", "#check=skip=all"),
    *("# check=error=true;experimental=all", "#!/bin/x", "", "\ufeff", "# a comment", "ARG V=1"),
)
PATTERNS = (
    "a",
    "b",
    "*",
    "**",
    "?",
    "/",
    "/",
    "!",
    "[a-b]",
    "[^a]",
    "[",
    "\\",
    ".",
    "..",
    "x.y",
    "#",
    " ",
)

# Far more than any of these texts needs; a hang or a quadratic loop needs more.
SECONDS_PER_CASE = 5
_PLACE = re.compile(r"fuzz(?::(\d+):(\d+))?: \S")


def check(random: random.Random) -> None:
    """One case."""
    kind = random.random()
    if kind < 0.75:
        check_dockerfile(random)
    elif kind < 0.9:
        check_patterns(random)
    else:
        check_large(random)


def check_dockerfile(random: random.Random) -> None:
    """A plausible file, with some of its characters replaced."""
    text = mutated(random, dockerfile_text(random))
    dockerfile = attempt(lambda: parse(text, name="fuzz"), lines=text.count("\n") + 1)
    if dockerfile is not None:
        check_parsed(dockerfile, text)


def check_parsed(dockerfile: Dockerfile, text: str) -> None:
    """Everything that is done with a parsed file."""
    lines = text.count("\n") + 1
    text.encode() and repr(dockerfile).encode()
    build_args = {"A": "given"}
    platforms = {"platform": "linux/arm64", "build_platform": "linux/amd64"}
    variables = (
        attempt(lambda: global_scope(dockerfile, build_args, **platforms), lines=lines) or {}
    )
    escape = dockerfile.directives.escape
    for stage in dockerfile.stages:
        attempt(lambda base=stage.base: expand_base(base, variables, escape=escape), lines=lines)
        for instruction in stage.instructions:
            check_instruction(instruction, escape, lines)
    report = attempt(lambda: lint(dockerfile, Facts(ignore=("a", "b.c"))))
    if report is not None:
        for warning in report.warnings:
            expect(warning.rule in RULES and 0 < warning.line <= lines, f"bad place: {warning}")


def check_instruction(instruction: Instruction, escape: str, lines: int) -> None:
    """Expand it, follow its trigger, and read its own source again."""
    origin = instruction.origin
    expect(0 < origin.line <= origin.end_line <= lines, f"bad lines: {origin}")
    if isinstance(instruction, Arg):
        attempt(
            lambda: resolve_arg(
                instruction, VALUES, build_args={}, global_variables={}, escape=escape
            ),
            lines=lines,
        )
    else:
        attempt(lambda: expand_instruction(instruction, VALUES, escape=escape), lines=lines)
    if isinstance(instruction, Onbuild):
        attempt(lambda: parse_trigger(instruction.expression, escape=escape, origin="fuzz"))
    if "<<" not in origin.source and not origin.source.endswith(("\\", "`")):
        again = parse(f"# escape={escape}\nFROM a\n{origin.source}").stages[0].instructions[0]
        expect(again._replace(origin=origin) == instruction, f"{again} is not {instruction}")


def check_patterns(random: random.Random) -> None:
    """Ignore files: the same verdict in any order of questions, and below a pruned directory."""
    lines = [
        "".join(random.choices(PATTERNS, k=random.randint(0, 6)))
        for _ in range(random.randint(0, 6))
    ]
    patterns = attempt(
        lambda: read_ignore_file("\n".join(lines), name="fuzz"), lines=len(lines) or 1
    )
    if patterns is None:
        return
    paths = [
        "/".join(random.choices(("a", "b", "x.y", "ab", "!a"), k=random.randint(1, 5)))
        for _ in range(20)
    ]
    ignore = Ignore(patterns)
    for path in paths:
        expect(
            ignore.excludes(path) == Ignore(patterns).excludes(path), f"{patterns} forget {path}"
        )
        parent = path.rpartition("/")[0]
        if parent and ignore.prunes(parent):
            expect(ignore.excludes(path), f"{patterns} prune {parent} and keep {path}")
    if not ignore.has_exceptions:
        with_exception = Ignore([*patterns, "!/nothing"])
        for path in paths:
            expect(
                ignore.excludes(path) == with_exception.excludes(path),
                f"{patterns} waver at {path}",
            )


def check_large(random: random.Random) -> None:
    """A short text over and over: what is linear stays fast."""
    piece = mutated(random, random.choice((instruction_text, word_text, dockerfile_text))(random))
    count = min(20_000, 100_000 // (len(piece) + 1))
    start = random.choice(
        ("FROM a\n", "FROM a\nRUN ", "FROM a\nENV a=", 'FROM a\nCMD ["', "FROM a\nCOPY <<E /\n")
    )
    text = start + random.choice(("", "\n", " ", "\\\n")).join([piece] * count)
    dockerfile = attempt(lambda: parse(text, name="fuzz"), lines=text.count("\n") + 1)
    if dockerfile is not None:
        check_parsed(dockerfile, text)


def attempt(action: Callable[[], object], *, lines: int | None = None) -> object:
    """The result, or None for a refusal, which must say where and what."""
    try:
        return action()
    except InvalidRequest as error:
        match = _PLACE.match(error.message)
        if lines is not None:
            expect(match is not None, f"no place: {error.message!r}")
            expect(int(match.group(1) or 1) <= lines, f"place outside: {error.message!r}")
        return None


def dockerfile_text(random: random.Random) -> str:
    """Directives, perhaps a FROM, instructions."""
    parts = [top + "\n" for top in random.choices(TOPS, k=random.randint(0, 3))]
    if random.random() < 0.9:
        parts.append(f"FROM {random.choice(('a', 'a AS b', 'a:$V', 'scratch', '$A'))}\n")
    parts += [instruction_text(random) + "\n" for _ in range(random.randint(0, 8))]
    return "".join(parts)


def instruction_text(random: random.Random) -> str:
    """A keyword, flags, words, and sometimes the document that a heredoc announces."""
    parts = [random.choice(KEYWORDS)]
    if parts[0] == "ONBUILD":
        parts.append(random.choice(KEYWORDS))
    parts += random.choices(FLAGS, k=random.choice((0, 0, 0, 1, 2)))
    parts += [word_text(random) for _ in range(random.randint(0, 5))]
    text = parts[0] + "".join(random.choice(GLUE) + part for part in parts[1:])
    if "<<" in text and random.random() < 0.8:
        text += "\n" + "\n".join(word_text(random) for _ in range(random.randint(0, 3)))
        text += "\n\tEOF\nEOF\nE\nA"
    return text


def word_text(random: random.Random) -> str:
    """A word, with variables and quotes in it."""
    parts = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if random.random() < 0.6:
            parts.append(random.choice(WORDS))
        else:
            parts.append(variable_text(random))
    text = "".join(parts)
    quote = random.choice(("", "", "", "'", '"'))
    return f"{quote}{text}{quote}"


def variable_text(random: random.Random, depth: int = 0) -> str:
    """``$name`` or ``${name...}``, nested."""
    name = random.choice(NAMES)
    if random.random() < 0.3:
        return f"${name}"
    operator = random.choice(OPERATORS)
    inner = random.choice(("", "x", "*", "a*", "?", "\\*", "\\", "/", "a/b", "'", "}", "é"))
    if depth < 3 and random.random() < 0.4:
        inner += variable_text(random, depth + 1)
    return f"${{{name}{operator}{inner if operator else ''}}}"


def mutated(random: random.Random, text: str) -> str:
    """The text with a few characters removed, doubled, or swapped for troublesome ones."""
    for _ in range(random.choice((0, 0, 1, 2, 5)) if text else 0):
        at = random.randrange(len(text) + 1)
        match random.randrange(3):
            case 0:
                text = text[:at] + text[at + random.randint(1, 4) :]
            case 1:
                text = text[:at] + random.choice("\\\"'`$#{}<>[]=\n\r\t -\x00é") + text[at:]
            case _:
                text = text[:at] + text[max(0, at - 5) :]
    return text


if __name__ == "__main__":
    main(check, __doc__.partition("\n")[0], each_s=SECONDS_PER_CASE)
