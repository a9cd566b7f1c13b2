"""Exit code, streams and signals are the program's own."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.support.processes import running
from tests.support.waiting import wait_until

QUIET = ("run", "--rm", "--network", "none")


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 127, 255])
def test_the_exit_code_is_the_programs(rootless, busybox, code):
    assert rootless(*QUIET, busybox, "sh", "-c", f"exit {code}", check=False).exit_code == code


def test_death_by_a_signal_is_128_and_its_number(rootless, busybox):
    # PID 1 is immune to signals it does not handle, so a child of it dies.
    line = "sh -c 'kill -TERM $$'; exit $?"
    assert rootless(*QUIET, busybox, "sh", "-c", line, check=False).exit_code == 143


def test_command_not_found_is_127(rootless, busybox):
    said = rootless.fails(*QUIET, busybox, "no-such-program", exit_code=127)
    assert "no-such-program" in said and len(said.splitlines()) <= 2


def test_a_command_that_cannot_be_executed_is_126(rootless, busybox):
    assert "/etc/passwd" in rootless.fails(*QUIET, busybox, "/etc/passwd", exit_code=126)
    assert "/etc" in rootless.fails(*QUIET, busybox, "/etc", exit_code=126)


def test_streams_are_kept_apart_and_whole(rootless, busybox):
    result = rootless(*QUIET, busybox, "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    big = rootless(*QUIET, busybox, "sh", "-c", "yes | head -c 3000000")
    assert len(big.stdout) == 3_000_000


def test_input_is_passed_on_with_i_and_closed_without(rootless, busybox):
    content = bytes(range(256)) * 1000
    done = subprocess.run(
        [*rootless.command, *QUIET, "-i", busybox, "cat"],
        input=content,
        capture_output=True,
        env=rootless.environment,
        check=True,
    )
    assert done.stdout == content
    assert rootless(*QUIET, busybox, "cat", stdin="not asked for\n").stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_tool_reaches_the_program(rootless, busybox, number):
    line = f"trap 'echo caught; exit 7' {int(number)}; echo ready; while :; do sleep 0.05; done"
    process = rootless.start(*QUIET, busybox, "sh", "-c", line)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"caught\n", 7)


def test_everything_dies_with_the_first_process(rootless, busybox):
    rootless(*QUIET, busybox, "sh", "-c", "sleep 7654321 & sleep 7654321 & true")
    wait_until(lambda: not running("sleep 7654321"), "the end of what the container started")


def test_the_reader_of_the_output_may_go_away(rootless, busybox):
    process = rootless.start(*QUIET, busybox, "yes")
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(timeout=20) != 0
    process.stderr.close()
    process.stdin.close()


@pytest.mark.parametrize(
    ("flags", "line", "shown"),
    [
        (["-w", "/var"], "pwd", "/var\n"),
        (["-w", "/made/for/it"], "pwd", "/made/for/it\n"),
        (["-u", "user"], "id -u; id -g; echo $HOME", "1000\n1000\n/home/user\n"),
        (["-u", "1000:0"], "id -u; id -g", "1000\n0\n"),
        (["-u", "7:8"], "id -u; id -g", "7\n8\n"),
        (["-e", "A=b c"], "echo $A", "b c\n"),
        (["-e", "PATH=/nowhere:/bin"], "echo $PATH", "/nowhere:/bin\n"),
    ],
)
def test_what_the_flags_say_is_what_the_program_sees(rootless, busybox, flags, line, shown):
    assert rootless(*QUIET, *flags, busybox, "sh", "-c", line).stdout == shown


def test_an_entry_point_is_replaced(rootless, busybox):
    result = rootless(*QUIET, "--entrypoint", "echo", busybox, "a", "b")
    assert result.stdout == "a b\n"


def test_an_environment_file_is_read(rootless, busybox, tmp_path):
    (tmp_path / "vars").write_text("# comment\nONE=1\nTWO=a = b\n\n")
    shown = rootless(*QUIET, "--env-file", str(tmp_path / "vars"), busybox, "env").stdout
    assert {"ONE=1", "TWO=a = b"} <= set(shown.splitlines())


def test_without_rm_the_container_stays_and_is_listed(rootless, busybox):
    rootless("run", "--network", "none", "--name", "stays", busybox, "true")
    try:
        assert "stays" in rootless("ps", "-a").stdout
        assert "stays" not in rootless("ps").stdout
        said = rootless.fails("run", "--name", "stays", "--network", "none", busybox, "true")
        assert "stays" in said
    finally:
        rootless("rm", "stays")
    assert "stays" not in rootless("ps", "-a").stdout


def test_two_claims_on_one_name_cannot_both_succeed(rootless, busybox):
    line = ("run", "--rm", "--name", "twice", "--network", "none", busybox, "sleep", "1")
    processes = [rootless.start(*line) for _ in range(4)]
    codes = []
    for process in processes:
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert sorted(codes) == [0, 125, 125, 125]
