"""``init``: everything of a container is there but its program, until ``start``."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support.waiting import wait_until


@pytest.fixture
def initialized(rootless, busybox):
    """Create and initialize containers; they are removed at the end."""
    names = []

    def make(*argv):
        names.append(f"init-{len(names)}")
        flags = argv[: argv.index("--")]
        rootless("create", "--name", names[-1], *flags, busybox, *argv[len(flags) + 1 :])
        assert rootless("init", names[-1]).stdout == f"{names[-1]}\n"
        return names[-1]

    yield make
    for name in names:
        rootless("rm", "-f", "-i", name)


def state(rootless, name):
    return json.loads(rootless("inspect", name).stdout)[0]["State"]


def test_the_program_waits_for_start(rootless, initialized):
    name = initialized("--", "sh", "-c", "echo ran; sleep 1000")
    found = state(rootless, name)
    assert (found["Status"], found["Running"]) == ("initialized", False)
    assert os.path.exists(f"/proc/{found['Pid']}")
    shown = rootless("ps", "-a", "--filter", "status=initialized", "--format", "{{.Status}}").stdout
    assert shown == "Initialized\n"
    assert rootless("logs", name).stdout == ""
    assert "is not running" in rootless.fails("exec", name, "true")
    assert "is initialized" in rootless.fails("init", name)
    assert rootless("start", name).stdout == f"{name}\n"
    after = state(rootless, name)
    assert (after["Status"], after["Pid"]) == ("running", found["Pid"])
    wait_until(lambda: rootless("logs", name).stdout == "ran\n", "its output")
    rootless("stop", "-t", "0", name)
    rootless("start", name)  # another life of it is an ordinary one
    assert state(rootless, name)["Status"] == "running"


def test_start_attaches_to_it_from_its_first_word(rootless, initialized):
    name = initialized("--network", "none", "--", "sh", "-c", "echo first; exit 4")
    result = rootless("start", "--attach", name, check=False)
    assert (result.exit_code, result.stdout) == (4, "first\n")


def test_what_keeps_the_program_from_running_is_told_by_start(rootless, initialized):
    name = initialized("--network", "none", "--", "/nothing")
    assert "cannot find the program" in rootless.fails("start", name, exit_code=127)
    wait_until(lambda: state(rootless, name)["Status"] != "initialized", "the end")


@pytest.mark.parametrize(
    "verb", [("rm",), ("rm", "-f"), ("stop",), ("kill",), ("restart", "-t", "0")]
)
def test_it_can_be_ended_before_it_began(rootless, initialized, verb):
    name = initialized("--network", "none", "--restart", "always", "--", "sleep", "1000")
    pid = state(rootless, name)["Pid"]
    assert rootless(*verb, name).seconds < 9
    wait_until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "the end of its process")
    there = rootless("container", "exists", name, check=False).exit_code == 0
    assert there == (verb[0] != "rm")
    if verb[0] == "restart":
        assert state(rootless, name)["Status"] == "running"


def test_a_killed_monitor_leaves_it_as_it_was_created(rootless, initialized):
    name = initialized("--network", "none", "--", "sh", "-c", "exit 3")
    found = state(rootless, name)
    os.kill(found["ConmonPid"], signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{found['Pid']}/exe"), "the end of its process")
    assert state(rootless, name)["Status"] == "created"
    rootless("start", name)
    assert rootless("wait", name).stdout == "3\n"
