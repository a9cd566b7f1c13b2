"""Completion proposes what may follow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rootless.cli.completion import SHELLS, Proposals, _in_words_of, _words_of, propose
from rootless.cli.completion_scripts import SCRIPTS

ROOT = Path(__file__).parents[3]
STORED = {
    "container": ["web", "db"],
    "image": ["alpine:latest"],
    "network": ["none", "mine"],
    "volume": ["data"],
}


def words(*line: str) -> list[str]:
    return [word for word, _ in propose(line, lambda kind: STORED.get(kind, ())).words]


def kind(*line: str) -> str:
    return propose(line, lambda kind: STORED.get(kind, ())).kind


def test_commands_and_nouns_come_first():
    assert {"run", "ps", "container"} <= set(words("r"))
    assert "__complete" not in words("")
    assert {"ls", "rm", "run"} <= set(words("container", ""))


def test_flags_of_the_command_with_their_help():
    proposals = propose(["run", "--r"], lambda kind: ()).words
    assert ("--rm", "Remove it when it ends") in proposals
    assert not {word for word, _ in proposals} & {"--pod", "--isolation"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (("run", "--network", ""), ["none", "mine"]),
        (("run", "--network="), ["--network=none", "--network=mine"]),
        (("run", "-it", "--pull", ""), ["always", "missing", "never", "newer"]),
        (("run", "-itv", ""), ["data"]),
        (("run", "--rm", ""), ["alpine:latest"]),
        (("run", "-e", "A=1", "al"), ["alpine:latest"]),
        (("run", "alpine", "--r"), []),
        (("stop", "web", ""), ["web", "db"]),
        (("exec", "-it", ""), ["web", "db"]),
        (("exec", "web", ""), []),
        (("container", "stop", "w"), ["web", "db"]),
        (("start", "--", "-"), ["web", "db"]),
        (("frobnicate", ""), []),
    ],
)
def test_names_where_names_belong(line, expected):
    assert words(*line) == expected


def test_files_are_left_to_the_shell():
    assert kind("run", "--env-file", "") == "file"
    assert kind("run", "--cert-dir", "") == "directory"
    assert (kind("run", "-v", ""), words("run", "-v", "")) == ("file", ["data"])
    assert propose(["run", "--memory", ""], lambda kind: ["x"]) == Proposals()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rootless", ()),
        ("rootless ", ("",)),
        ("rootless run --network=ho", ("run", "--network=ho")),
        ("rootless run 'a b' al", ("run", "a b", "al")),
        ("rootless run 'open", ("run", "open")),
    ],
)
def test_a_line_of_bash_is_cut_into_words(line, expected):
    assert _words_of(line) == expected


def test_what_a_shell_replaces():
    assert _in_words_of("bash", "alpine:latest", "", "alpine:l") == "latest"
    assert _in_words_of("bash", "--network=none", "", "--network=n") == "none"
    assert _in_words_of("zsh", "alpine:latest", "an image", "a") == "alpine\\:latest:an image"
    assert _in_words_of("fish", "run", "Run it", "r") == "run\tRun it"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_valid(shell):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    result = subprocess.run(
        [program, "-n"], input=SCRIPTS[shell], text=True, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_bash_completes(tmp_path):
    launcher = tmp_path / "rootless"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m rootless "$@"\n')
    launcher.chmod(0o755)
    (tmp_path / "some-file").touch()
    script = f"""
PATH={tmp_path}:$PATH
source <(rootless completion bash)
try() {{ COMP_LINE=$1; COMP_POINT=${{#1}}; COMP_WORDS=($1); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1))
        [[ $1 == *" " ]] && {{ COMP_WORDS+=(""); COMP_CWORD=$((COMP_CWORD+1)); }}
        COMPREPLY=(); _rootless 2>/dev/null; echo "${{COMPREPLY[@]}}"; }}
try "rootless ver"
try "rootless run --pri"
try "rootless run --pull nev"
try "rootless run --env-file {tmp_path}/so"
"""
    result = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env={"PATH": "/usr/bin:/bin", "ROOTLESS_HOME": str(tmp_path / "home")},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert result.stdout.splitlines() == [
        "version",
        "--privileged",
        "never",
        f"{tmp_path}/some-file",
    ], result.stderr


def test_a_volume_or_a_path_where_either_may_stand():
    assert (words("run", "-v", ""), kind("run", "-v", "")) == (["data"], "file")
    assert (words("volume", "rm", ""), kind("volume", "rm", "")) == (["data"], "")
