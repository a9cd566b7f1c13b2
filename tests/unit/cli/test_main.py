"""``main``: every failure is one line, and has docker's exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rootless.cli
from rootless.cli import main
from rootless.errors import Conflict, NotFound

ROOT = Path(__file__).parents[3]


def rootless_command(*words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rootless", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.delenv("ROOTLESS_DEBUG", raising=False)

    def fail_with(error: BaseException) -> int:
        def dispatch(argv):
            raise error

        monkeypatch.setattr(rootless.cli, "dispatch", dispatch)
        return main([])

    return fail_with


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (NotFound("no image x", hint="rootless pull x"), 125, "Error: no image x\nHint: rootless pull x\n"),
        (Conflict("taken", exit_code=1), 1, "Error: taken\n"),
        (NotFound("two\nlines \x1b[31m"), 125, "Error: two; lines \\x1b[31m\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(3), 3, ""),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"), 125, "Error: /x: permission denied\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 125,
            "Error: no space left on device\nHint: rootless system prune makes room\n",
        ),
        (
            ZeroDivisionError("division by zero"), 125,
            "Error: internal error: ZeroDivisionError: division by zero\n"
            "Hint: ROOTLESS_DEBUG=1 shows where; please report it\n",
        ),
    ],
)  # fmt: skip
def test_a_failure_is_one_line_and_a_code(failing, capsys, error, code, text):
    assert failing(error) == code
    assert capsys.readouterr().err == text


def test_the_traceback_is_shown_on_request(failing, capsys, monkeypatch):
    monkeypatch.setenv("ROOTLESS_DEBUG", "1")
    failing(NotFound("no image x"))
    assert "Traceback" in capsys.readouterr().err


def test_unknown_words_fail_with_125():
    for words in (["frobnicate"], ["version", "--frobnicate"], ["--frobnicate"]):
        result = rootless_command(*words)
        assert result.returncode == 125
        assert result.stderr.startswith("Error: rootless ")
        assert "Traceback" not in result.stderr


def test_help_and_version():
    assert "Usage: rootless COMMAND" in rootless_command().stdout
    assert rootless_command("--help").stdout == rootless_command("help").stdout
    assert rootless_command("--version").stdout.startswith("rootless version ")
    assert "--format" in rootless_command("version", "-h").stdout


def test_a_closed_pipe_is_no_news():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "rootless", "--help"],
        cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, "")


def test_a_full_disk_under_the_output_is_an_error():
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "rootless", "--help"],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert process.returncode == 125
    assert process.stderr.startswith("Error: no space left on device")
    assert "Exception ignored" not in process.stderr
