"""The process that stands by a detached container: it becomes small, and then does all that it did before."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
import uuid

import pytest

from rootless.engine import Engine, lifecycle
from rootless.runtime import container as store
from rootless.runtime.session import Outcome
from tests.support.waiting import wait_until

# Shared pages count by their share; a launcher's own would be 8 MiB.
MONITOR_MIB = 6


@pytest.fixture
def detached(rootless, busybox):
    """Start containers; they are removed at the end."""
    names = []

    def start(*argv, small=True):
        names.append(f"stand-{uuid.uuid4().hex[:8]}")
        flags = argv[: argv.index("--")]
        rootless("run", "-d", "--name", names[-1], *flags, busybox, *argv[len(flags) + 1 :])
        if small:
            wait_until(lambda: is_small(rootless, names[-1]), "the monitor to become small")
        return names[-1]

    yield start
    for name in names:
        rootless("rm", "-f", name, check=False)


def state(rootless, name):
    return json.loads(rootless("inspect", name).stdout)[0]["State"]


def is_small(rootless, name):
    with open(f"/proc/{state(rootless, name)['ConmonPid']}/cmdline", "rb") as file:
        return b"standby" in file.read()


def pss_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def test_it_needs_little_memory_and_keeps_its_name(rootless, detached):
    name = detached("--", "sleep", "1000")
    pid = state(rootless, name)["ConmonPid"]
    assert pss_mib(pid) < MONITOR_MIB
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        assert file.read() == "rootless:[mon]\n"


def test_input_output_and_end_go_through_the_small_one(rootless, detached):
    script = "echo early; while read line; do echo got $line; echo bad >&2; [ $line = end ] && exit 7; done"
    name = detached("-i", "--network", "none", "--", "sh", "-c", script)
    client = rootless.start("attach", name)
    out, err = client.communicate(b"one\nend\n", timeout=30)
    assert out == b"got one\ngot end\n"
    assert err == b"bad\nbad\n"
    assert client.returncode == 7
    assert rootless("logs", name).stdout.splitlines() == ["early", "got one", "got end"]
    assert state(rootless, name)["ExitCode"] == 7
    assert rootless("wait", name).stdout == "7\n"


def test_whoever_was_attached_before_stays_attached(rootless, busybox):
    argv = ("run", "-i", "--name", "stays", "--network", "none", busybox, "sh", "-c")
    client = rootless.start(*argv, "echo first; read a; echo $a; read b; echo $b; exit 3")
    try:
        assert client.stdout.readline() == b"first\n"
        wait_until(lambda: is_small(rootless, "stays"), "the monitor to become small")
        out, _ = client.communicate(b"second\nthird\n", timeout=30)
        assert out == b"second\nthird\n"
        assert client.returncode == 3
    finally:
        rootless("rm", "-f", "stays", check=False)


def test_a_terminal_stays_one(rootless, detached):
    name = detached(
        "-t", "-i", "--network", "none", "--", "sh", "-c", "read a; tty; stty size; exit 4"
    )
    client = rootless.start("attach", name)
    out, _ = client.communicate(b"go\n", timeout=30)
    assert b"/dev/pts/0" in out
    assert client.returncode == 4


def test_it_starts_its_container_again_and_becomes_small_again(rootless, detached):
    """The second life is launched by the small one; ports, log and count go on."""
    port = "127.0.0.1::8080"
    name = detached(
        "--restart", "always", "-p", port, "--", "sh", "-c", "echo life; nc -l -p 8080 >/dev/null"
    )
    monitor = state(rootless, name)["ConmonPid"]
    address = rootless("port", name, "8080").stdout.strip().replace(":", "/")
    for number in (2, 3):

        def ended(number=number):  # a connection that comes before nc listens is lost
            subprocess.call(
                ["bash", "-c", f"echo hello > /dev/tcp/{address}"], stderr=subprocess.DEVNULL
            )
            return rootless("logs", name).stdout.count("life") >= number

        wait_until(ended, "another life", pause_s=0.2)
        now = state(rootless, name)
        assert now["ConmonPid"] == monitor, now
    rootless("stop", "-t", "0", name)
    assert state(rootless, name)["Status"] == "exited"
    lives = rootless("logs", name).stdout.count("life")
    assert json.loads(rootless("inspect", name).stdout)[0]["RestartCount"] == lives - 1
    wait_until(lambda: not os.path.exists(f"/proc/{monitor}/exe"), "the monitor to end")


def test_on_failure_gives_up_after_its_count(rootless, detached):
    name = detached(
        "--restart",
        "on-failure:2",
        "--network",
        "none",
        "--",
        "sh",
        "-c",
        "sleep 0.4; exit 9",
        small=False,
    )
    wait_until(lambda: state(rootless, name)["Status"] == "exited", "the end")
    assert state(rootless, name)["ExitCode"] == 9
    assert json.loads(rootless("inspect", name).stdout)[0]["RestartCount"] == 2


def test_it_can_be_removed_between_two_lives(rootless, detached):
    """Also while the monitor is about to become small."""
    for moment in (0.25, 0.3, 0.35, 0.5):
        name = detached("--restart", "always", "--", "sh", "-c", "sleep 0.2", small=False)
        monitor = state(rootless, name)["ConmonPid"]
        time.sleep(moment)
        rootless("rm", "-f", name)
        wait_until(lambda p=monitor: not os.path.exists(f"/proc/{p}/exe"), "the monitor to end")


def test_stop_between_two_lives_ends_the_next_one_too(rootless, detached, tmp_path):
    """Which may have begun already when the end is asked for, without a first process to signal."""
    seed = random.randrange(1 << 16)
    moments = random.Random(seed)
    script = "[ -e /v/again ] && exec sleep 1000; touch /v/again"
    for number in range(10):
        place = tmp_path / str(number)
        place.mkdir()
        name = detached(
            *("--restart", "always", "--network", "none", "-v", f"{place}:/v"),
            *("--", "sh", "-c", script),
            small=False,
        )
        wait_until((place / "again").exists, "the first life", pause_s=0.001)
        time.sleep(moments.uniform(0, 0.2))
        rootless("stop", "-t", "0", name)
        assert state(rootless, name)["Status"] == "exited", f"seed {seed}"


def test_sigterm_stops_the_container_and_not_its_policy_only(rootless, detached):
    script = "trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done"
    name = detached("--restart", "always", "--network", "none", "--", "sh", "-c", script)
    os.kill(state(rootless, name)["ConmonPid"], signal.SIGTERM)
    wait_until(lambda: state(rootless, name)["Status"] == "exited", "the end")
    assert rootless("logs", name).stdout == "asked\n"


def test_a_container_that_removes_itself_goes(rootless, detached):
    name = detached("--rm", "-v", "/data", "--", "sleep", "1000")
    volumes = rootless("volume", "ls", "-q").stdout.split()
    rootless("kill", name)
    wait_until(lambda: name not in rootless("ps", "-a").stdout, "its removal")
    wait_until(
        lambda: len(rootless("volume", "ls", "-q").stdout.split()) == len(volumes) - 1,
        "the removal of its volume",
    )


def test_the_time_that_was_given_still_counts(rootless, detached):
    name = detached("--timeout", "2", "--network", "none", "--", "sleep", "1000")
    wait_until(lambda: state(rootless, name)["Status"] == "exited", "the end")
    assert state(rootless, name)["ExitCode"] == 137


def kill_the_helper(rootless, name):
    """End the network helper; a function that returns what the monitor has written down since."""
    found = json.loads(rootless("inspect", name).stdout)[0]["Id"]
    place = f"{rootless.home}/run/containers/{found}/state.json"

    def written():
        with open(place, encoding="utf-8") as file:
            return json.load(file)

    os.kill(written()["network"]["helper_pid"], signal.SIGKILL)
    return written


def test_the_end_of_the_network_is_still_noticed(rootless, detached, needs_slirp4netns):
    name = detached("--network", "slirp4netns", "--", "sleep", "1000")
    written = kill_the_helper(rootless, name)
    told = wait_until(lambda: written()["network"].get("broken"), "word of it")
    assert "has ended" in told


def test_a_health_check_does_not_forget_the_end_of_the_network(
    rootless, detached, needs_slirp4netns
):
    check = ("--health-cmd", "true", "--health-interval", "50ms")
    name = detached("--network", "slirp4netns", *check, "--", "sleep", "1000", small=False)
    written = kill_the_helper(rootless, name)
    wait_until(lambda: written()["network"].get("broken"), "word of it")
    before = written()["health"]["Log"]
    wait_until(lambda: written()["health"]["Log"] != before, "another check")
    assert "has ended" in written()["network"]["broken"]


def test_whoever_asks_while_it_ends_hears_the_code(rootless, detached, monkeypatch):
    name = detached("--network", "none", "--", "sh", "-c", "exit 3", small=False)
    assert rootless("wait", name).stdout == "3\n"
    monkeypatch.setenv("ROOTLESS_HOME", rootless.home)
    container = store.find(Engine.open().paths, name)
    alive = container.hold()  # as its monitor does a moment longer than it answers
    going = threading.Timer(0.3, container.let_go, (alive,))
    going.start()
    code = lifecycle.code_of(container, Outcome(None))
    going.join()
    assert code == 3


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_nothing_of_a_life_that_was_killed_is_left_in_the_next(rootless, detached, verb):
    name = detached("--network", "none", "--", "sleep", "1000")
    found = json.loads(rootless("inspect", name).stdout)[0]
    place = f"{rootless.home}/run/containers/{found['Id']}"
    with open(f"{place}/oom", "w", encoding="ascii"):
        pass  # what the watchdog of --best-effort-limits leaves
    with open(f"{place}/state.json", encoding="utf-8") as file:
        cgroup = json.load(file)["cgroup"]  # it counts kills
    before = os.stat(cgroup).st_ino if cgroup else 0
    os.kill(found["State"]["ConmonPid"], signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{found['State']['Pid']}/exe"), "the end")
    rootless(verb, name)
    assert not before or os.stat(cgroup).st_ino != before
    rootless("stop", "-t", "0", name)
    assert state(rootless, name)["OOMKilled"] is False


def test_a_stopped_container_leaves_no_helper(rootless, detached, needs_slirp4netns):
    name = detached("--network", "slirp4netns", "--", "sleep", "1000")
    pid = state(rootless, name)["ConmonPid"]
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = file.read().split()
    assert len(children) == 2
    rootless("stop", "-t", "0", name)
    wait_until(
        lambda: not any(os.path.exists(f"/proc/{each}/exe") for each in children), "them to end"
    )


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_logs_are_followed_across_a_restart_and_a_rotation(rootless, detached, driver):
    options = ("--log-driver", driver, "--log-opt", "max-size=2k", "--log-opt", "max-file=4")
    script = "i=0; while [ $i -lt 20 ]; do echo line $i of $$ of some length; i=$((i+1)); sleep 0.02; done"
    name = detached(
        *options,
        "--restart",
        "on-failure",
        "--network",
        "none",
        "--",
        "sh",
        "-c",
        f"sleep 0.5; {script}; exit 1",
        small=False,
    )
    follower = rootless.start("logs", "-f", name, stderr=subprocess.DEVNULL)
    seen = []
    end = time.monotonic() + 60
    while seen.count("line 19 of 1 of some length") < 3 and time.monotonic() < end:
        seen.append(follower.stdout.readline().decode().strip())
    rootless("rm", "-f", name)
    follower.communicate(timeout=20)
    lives = [f"line {number} of 1 of some length" for number in range(20)]
    assert seen == lives * 3
