"""-t gives a real terminal: size, raw mode, Ctrl-C; and ours is as it was afterwards."""

from __future__ import annotations

import time

import pytest

from tests.support.terminal import Terminal


@pytest.fixture
def terminal(rootless, busybox):
    started = []

    def start(*argv, **options):
        line = ("run", "--rm", "-it", "--network", "none", busybox, *argv)
        started.append(Terminal([*rootless.command, *line], rootless.environment, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()  # the container goes on, as with docker
            each.process.wait()
            rootless("rm", "-f", *rootless("ps", "-q").stdout.split())


def test_the_program_has_a_terminal_of_our_size(terminal):
    shell = terminal("sh", "-c", "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all")
    shell.expect("/dev/pts/0")
    shell.expect("30 90")
    shell.expect("all")
    assert shell.end() == 0


def test_a_change_of_size_arrives(terminal):
    shell = terminal("sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    shell.expect("ready")
    shell.resize(40, 120)
    shell.expect("40 120")
    shell.type("\x03")
    assert shell.end() != 0


def test_ctrl_c_is_the_programs(terminal):
    shell = terminal(
        "sh", "-c", "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    )
    shell.expect("ready")
    shell.type("\x03")
    shell.expect("interrupted")
    assert shell.end() == 9


def test_every_byte_reaches_the_program_unchanged(terminal):
    shell = terminal("sh", "-c", "stty raw -echo; echo ready; head -c 5 | od -An -tx1")
    shell.expect("ready")
    shell.type("\x01\x03\x04\x1a\x1b")
    shell.expect("01 03 04 1a 1b")
    assert shell.end() == 0


def test_an_interactive_shell_has_job_control(terminal):
    shell = terminal("sh")
    shell.expect("# ")
    shell.type("echo $((40+2))\n")
    shell.expect("42")
    shell.type("sleep 1000\n")
    time.sleep(0.2)
    shell.type("\x03")
    shell.type("echo still $((1+1))\n")
    shell.expect("still 2")
    shell.type("exit 5\n")
    assert shell.end() == 5


def test_a_terminal_inside_needs_none_outside(rootless, busybox):
    line = ("run", "--rm", "-t", "--network", "none", busybox, "sh", "-c", "tty; stty size")
    assert rootless(*line).stdout.split()[0] == "/dev/pts/0"
