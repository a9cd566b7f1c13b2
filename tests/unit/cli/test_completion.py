"""Completion proposes what may follow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rootless.cli.completion import SHELLS, Proposals, _in_words_of, _words_of, propose
from rootless.cli.completion_scripts import SCRIPTS
from tests.support.capabilities import is_required
from tests.support.terminal import Terminal

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


def program_of(shell: str) -> str:
    """Its path; without one the test skips, or fails where every capability is required."""
    program = shutil.which(shell)
    if program is None and is_required(shell):
        pytest.fail(f"no {shell}", pytrace=False)
    if program is None:
        pytest.skip(f"no {shell}")
    return program


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_valid(shell):
    program = program_of(shell)
    result = subprocess.run(
        [program, "-n"], input=SCRIPTS[shell], text=True, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.fixture
def launcher(tmp_path):
    """A program ``rootless`` for PATH, and a file beside it."""
    program = tmp_path / "rootless"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rootless "$@"\n')
    program.chmod(0o755)
    (tmp_path / "some-file").touch()
    return program


def environment(tmp_path):
    """Of a shell that knows nothing but the launcher."""
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ROOTLESS_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }


def test_fish_completes(tmp_path, launcher):
    script = f"""
rootless completion fish | source
complete -C "rootless ver"
complete -C "rootless run --pri"
complete -C "rootless run --pull=nev"
complete -C "rootless run --env-file {tmp_path}/so"
"""
    done = subprocess.run(
        [program_of("fish"), "--no-config", "-c", script],
        cwd=tmp_path, env=environment(tmp_path), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [
        "version",
        "--privileged",
        "--pull=never",
        f"{tmp_path}/some-file",
    ], done.stderr


# A pressed Enter shows what stands on the line instead of running it.
ZSH = r"""autoload -Uz compinit; compinit -u -D; bindkey "^I" complete-word
source <(rootless completion zsh)
got() { print -r -- "[got $BUFFER]"; BUFFER=; zle .accept-line }; zle -N accept-line got; print 'ready'now
"""


def test_zsh_completes(tmp_path, launcher):
    shell = Terminal([program_of("zsh"), "-f", "-i"], {**environment(tmp_path), "TERM": "dumb"})
    try:
        shell.type(ZSH)
        shell.expect("readynow")
        for typed, completed in (
            ("vers", "version"),
            ("run --privil", "run --privileged"),
            ("run --pull nev", "run --pull never"),
        ):
            shell.type(f"rootless {typed}\t\r")
            shell.expect(f"[got rootless {completed}")
    finally:
        shell.process.kill()
        shell.process.wait()


def test_bash_completes(tmp_path, launcher):
    script = f"""
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
        ["bash", "-c", script], cwd=ROOT, env=environment(tmp_path),
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
