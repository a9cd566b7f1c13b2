"""The rules of ``build --check``: one that breaks each, and what does not."""

from __future__ import annotations

import pytest

from rootless.dockerfile.lint import Facts, lint
from rootless.dockerfile.parser import parse
from rootless.dockerfile.rules import RULES
from rootless.dockerfile.stage_lint import BaseImage
from rootless.errors import InvalidRequest

IMAGES = {"debian": BaseImage({"PATH": "/bin", "LANG": "C"}), "windows": BaseImage(has_shell=True)}


def remarks(text: str, **facts) -> list[tuple[str, str, int]]:
    report = lint(parse(text), Facts(images=IMAGES, **facts))
    return [tuple(warning) for warning in report.warnings]


BROKEN = [
    (
        "ConsistentInstructionCasing",
        "FROM debian\nrun a\nRUN b",
        "Command 'run' should match the case of the command majority (uppercase)",
        2,
    ),
    (
        "CopyIgnoredFile",
        "FROM debian\nCOPY a/b.secret c /x",
        'Attempting to Copy file "a/b.secret" that is excluded by .dockerignore',
        2,
    ),
    (
        "DuplicateStageName",
        "FROM debian AS a\nFROM debian AS a",
        'Duplicate stage name "a", stage names should be unique',
        2,
    ),
    (
        "ExposeInvalidFormat",
        "FROM debian\nEXPOSE 127.0.0.1:80:80",
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        2,
    ),
    (
        "ExposeProtoCasing",
        "FROM debian\nEXPOSE 80/TCP",
        "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        2,
    ),
    ("FromAsCasing", "FROM debian as a", "'as' and 'FROM' keywords' casing do not match", 1),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 debian AS a",
        'FROM --platform flag should not use constant value "linux/amd64"',
        1,
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG V\nFROM debian:$V",
        "Default value for ARG debian:$V results in empty or invalid base image name",
        2,
    ),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=all\n# wrong\nARG V=1\nFROM debian",
        "Comment for ARG should follow the format: `# V <description>`",
        3,
    ),
    (
        "JSONArgsRecommended",
        "FROM debian\nCMD a b",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        2,
    ),
    (
        "LegacyKeyValueFormat",
        "FROM debian\nENV a b",
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
        2,
    ),
    (
        "MaintainerDeprecated",
        "FROM debian\nMAINTAINER me",
        "Maintainer instruction is deprecated in favor of using label",
        2,
    ),
    (
        "MultipleInstructionsDisallowed",
        'FROM debian\nCMD ["a"]\nCMD ["b"]',
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        2,
    ),
    ("NoEmptyContinuation", "FROM debian\nRUN a \\\n\n  b", "Empty continuation line", 4),
    (
        "RedundantTargetPlatform",
        "FROM --platform=$TARGETPLATFORM debian",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        1,
    ),
    (
        "ReservedStageName",
        "FROM debian AS context",
        'Stage name should not use the same name as reserved stage "context"',
        1,
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM debian\nARG DB_PASSWORD",
        'Do not use ARG or ENV instructions for sensitive data (ARG "DB_PASSWORD")',
        2,
    ),
    ("StageNameCasing", "FROM debian AS Big", "Stage name 'Big' should be lowercase", 1),
    (
        "UndefinedArgInFrom",
        "ARG VERSION=1\nFROM debian:1$VERSIN",
        "FROM argument 'VERSIN' is not declared (did you mean VERSION?)",
        2,
    ),
    (
        "UndefinedVar",
        "FROM debian\nENV PATH=/x:$PTAH",
        "Usage of undefined variable '$PTAH' (did you mean $PATH?)",
        2,
    ),
    (
        "WorkdirRelativePath",
        "FROM debian\nWORKDIR x",
        'Relative workdir "x" can have unexpected results if the base image changes',
        2,
    ),
]


@pytest.mark.parametrize(
    ("rule", "text", "message", "line"), BROKEN, ids=lambda each: str(each)[:30]
)
def test_a_broken_rule_is_remarked_on_with_its_line(rule, text, message, line):
    assert remarks(text, ignore=("**/*.secret",)) == [(rule, message, line)]


def test_every_rule_is_tried_above():
    assert sorted({rule for rule, *_ in BROKEN}) == sorted(RULES)
    assert len(RULES) == 21


@pytest.mark.parametrize(
    "text",
    [
        "FROM debian AS amd64-base\nWORKDIR /a\nWORKDIR b",
        "FROM --platform=linux/amd64 debian AS build-amd64",
        "FROM --platform=$BUILDPLATFORM debian AS a\nFROM a",
        "from debian as a\nrun b",
        "FROM debian\nARG GIT_PUBLIC_KEY TOKEN_FILE KEYBOARD",
        "FROM debian\nARG a\nENV b=$a c=$LANG",
        "FROM debian AS a\nARG x=1\nFROM a\nENV y=$x",
        "FROM windows\nCMD dir",
        'FROM debian\nSHELL ["bash", "-c"]\nCMD a b',
        'FROM debian AS a\nCMD ["a"]\nFROM a\nCMD ["b"]',
        "FROM debian AS a\nWORKDIR /a\nFROM a\nWORKDIR b",
        "FROM debian AS a\nONBUILD ARG late=1\nFROM a\nENV b=$late",
        "FROM unknown\nENV a=$WHATEVER",
        'FROM debian\nRUN echo $WHATEVER\nCMD ["sh", "-c", "echo $WHATEVER"]',
        "FROM debian\nCOPY --from=debian a.secret /x\nADD https://h/a.secret /x\nCOPY ok /x",
        "ARG V=1\nFROM debian:$V",
        "# V is the version\nARG V=1\nFROM debian",
    ],
)
def test_nothing_is_wrong_with(text):
    assert remarks(text, ignore=("**/*.secret",)) == []


def test_exceptions_in_the_ignore_file_leave_the_verdict_to_the_build():
    assert remarks("FROM debian\nCOPY a /", ignore=("*", "!b")) == []


def test_copying_a_context_that_is_ignored_as_a_whole_is_remarked_on():
    assert [each[0] for each in remarks("FROM debian\nCOPY . /", ignore=("*",))] == [
        "CopyIgnoredFile"
    ]
    assert remarks("FROM debian\nCOPY . /", ignore=("*.md",)) == []


def test_a_check_directive_skips_rules():
    text = "FROM debian as a\nMAINTAINER me"
    assert len(remarks(text)) == 2
    assert [each[0] for each in remarks(f"# check=skip=FromAsCasing\n{text}")] == [
        "MaintainerDeprecated"
    ]
    assert remarks(f"# check=skip=FromAsCasing,MaintainerDeprecated\n{text}") == []
    assert remarks(f"# check=skip=all\n{text}") == []
    assert remarks(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}) == []


def test_a_comment_skips_rules_for_the_instruction_below_it():
    text = "FROM debian\n# check=skip=MaintainerDeprecated\nMAINTAINER me\nWORKDIR x"
    assert [each[0] for each in remarks(text)] == ["WorkdirRelativePath"]


def test_remarks_become_an_error_only_if_asked_to():
    text = "FROM debian as a"
    assert lint(parse(text), Facts()).failure is None
    failure = lint(parse(f"# check=error=true\n{text}"), Facts()).failure
    assert failure is not None
    assert failure.message == "lint violation found for rules: FromAsCasing"
    assert lint(parse("# check=error=true\nFROM debian"), Facts()).failure is None


def test_an_error_of_the_build_comes_with_the_remarks():
    report = lint(parse("FROM debian as a\nENV a=${b?}"), Facts(images=IMAGES))
    assert [warning.rule for warning in report.warnings] == ["FromAsCasing"]
    assert report.failure is not None
    assert report.failure.message.startswith("Dockerfile:2:7: failed to process")


@pytest.mark.parametrize("check", ["sikp=all", "skip", "error=perhaps"])
def test_a_check_directive_that_makes_no_sense_is_refused(check):
    with pytest.raises(InvalidRequest):
        lint(parse(f"# check={check}\nFROM debian"))
