"""-t gives a real terminal: size, raw mode, Ctrl-C; and ours is as it was afterwards."""

from __future__ import annotations

import time

import pytest

from tests.support.terminal import Terminal
from tests.support.waiting import wait_until


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


@pytest.mark.parametrize("way", ["run", "exec"])
def test_the_end_of_input_reaches_a_shell_that_is_not_ready_yet(rootless, busybox, way):
    """An end of input that comes while lines are edited is nothing to a shell that edits them itself."""
    shell = ("sh", "-c", "sleep 1; exec sh")
    if way == "run":
        rootless("run", "--rm", "-it", "--network", "none", busybox, *shell, timeout_s=30)
        return
    running = rootless(
        "run", "-d", "--rm", "--network", "none", busybox, "sleep", "60"
    ).stdout.strip()
    try:
        rootless("exec", "-it", running, *shell, timeout_s=30)
    finally:
        rootless("rm", "-f", running)


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


def test_ctrl_z_stops_the_program_and_fg_wakes_it(terminal):
    shell = terminal("sh")
    shell.expect("# ")
    shell.type("sleep 1000; echo woken\n")
    time.sleep(0.2)
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.type("jobs; kill %1; fg\n")
    shell.type("exit 6\n")
    assert shell.end() == 6


def test_much_output_comes_whole(terminal):
    shell = terminal("sh", "-c", "stty -onlcr; seq 1 60000; echo the end")
    expected = "".join(f"{number}\n" for number in range(1, 60001))
    shell.expect(expected)
    shell.expect("the end")
    assert shell.end() == 0


@pytest.fixture
def detached(rootless, busybox):
    """A shell on a terminal, left with the detach keys; how to get to it again."""
    line = ("run", "-it", "--name", "left", "--network", "none", busybox, "sh")
    first = Terminal([*rootless.command, *line], rootless.environment)
    first.expect("# ")
    first.type("echo mine=$((6*7))\n")
    first.expect("mine=42")
    first.type("\x10\x11")  # Ctrl-P Ctrl-Q
    assert first.end() == 0
    opened = []

    def attach(*flags, **options):
        line = ("attach", *flags, "left")
        opened.append(Terminal([*rootless.command, *line], rootless.environment, **options))
        return opened[-1]

    yield attach
    for each in opened:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
    rootless("rm", "-f", "-t", "0", "left", check=False)


def test_the_detach_keys_leave_the_program_running(rootless, detached):
    assert "left" in rootless("ps").stdout
    again = detached()
    again.type("echo still=$((1+1))\n")
    again.expect("still=2")
    again.type("exit 3\n")
    again.expect("exit 3")
    assert again.end() == 3


def test_other_detach_keys_and_what_only_begins_like_them(detached):
    again = detached("--detach-keys", "ctrl-a,x")
    again.type("printf '<%s>' '\x10'\n")  # no longer a key: the shell has it
    again.type("\x01y; echo seen\n")  # begins like the keys, and is not
    again.expect("seen")
    again.type("\x01x")
    assert again.end() == 0


def test_whoever_attaches_gives_the_terminal_a_size(detached):
    again = detached(rows=44, columns=133)
    again.type("stty size\n")
    again.expect("44 133")
    again.resize(50, 140)
    again.type("stty size\n")
    again.expect("50 140")
    again.type("\x10\x11")
    assert again.end() == 0


def test_a_further_program_has_a_terminal_of_its_own(rootless, detached):
    # cat and not the shell gets the Ctrl-C: busybox' loses one in about fifty, on a plain terminal, too.
    line = ("exec", "-it", "left", "sh", "-c", "tty; stty size; exec cat")
    further = Terminal([*rootless.command, *line], rootless.environment, rows=33, columns=99)
    further.expect("/dev/pts/1")
    further.expect("33 99")
    further.type("typed\n")
    further.expect("typed\r\ntyped")  # the terminal's echo, then the program's
    further.type("\x03")
    assert further.end() == 130
    assert "left" in rootless("ps").stdout


@pytest.mark.parametrize("flags", [("--init",), ()])
def test_orphans_are_reaped_by_init(rootless, busybox, flags):
    """And stay zombies without one, so this shows something."""
    rootless(
        "run", "-d", "--name", "orphans", *flags, "--network", "none", busybox, "sleep", "1000"
    )
    try:
        for _ in range(3):
            rootless("exec", "orphans", "sh", "-c", "(sleep 0.01 &)")
        zombies = ("exec", "orphans", "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")
        wait_until(
            lambda: rootless(*zombies).stdout.strip() == ("0" if flags else "3"), "the orphans' end"
        )
    finally:
        rootless("rm", "-f", "-t", "0", "orphans")
