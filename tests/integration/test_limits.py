"""Limits: what is asked and cannot be enforced, the next best, and changes while a container runs."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.capabilities import own_cgroup
from tests.support.waiting import wait_until

RUN = ("run", "--rm", "--network", "none")
EAT = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"


@pytest.fixture
def bare(rootless):
    """The command line where no cgroup can be seen."""
    hide = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    command = rootless.command
    rootless.command = (
        *("unshare", "--user", "--mount", "--map-root-user", "--map-auto", "sh", "-c", hide, "sh"),
        *command,
    )
    yield rootless
    rootless.command = command


def test_a_limit_that_cannot_be_enforced_is_an_error_with_a_remedy(bare, busybox, needs_subids):
    said = bare.fails(*RUN, "--memory", "64m", busybox, "true")
    assert "cannot enforce --memory" in said
    assert "--best-effort-limits" in said


def test_the_next_best_is_taken_where_that_will_do(bare, busybox, needs_subids):
    flags = ("--best-effort-limits", "--cpus", "0.5", "--pids-limit", "12", "--cpu-shares", "100")
    line = "grep Cpus_allowed_list /proc/self/status; ulimit -u; cut -d' ' -f19 /proc/self/stat"
    shown = bare(*RUN, *flags, busybox, "sh", "-c", line).stdout.split()
    assert shown[1].isdigit()  # one processor
    assert shown[2] == "12"
    assert int(shown[3]) > 10  # nice


def test_a_fork_bomb_is_stopped_without_a_cgroup_as_well(bare, busybox, needs_subids):
    line = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 5 & done; echo all"
    limited = bare(*RUN, "--best-effort-limits", "--pids-limit", "8", busybox, "sh", "-c", line,
                   check=False)  # fmt: skip
    assert "all" not in limited.stdout
    assert "fork" in limited.stderr


def test_a_watchdog_ends_what_takes_too_much_and_says_so(bare, busybox, needs_subids):
    flags = ("--best-effort-limits", "--memory", "40m")
    result = bare(*RUN, *flags, busybox, "sh", "-c", EAT, check=False)
    assert result.exit_code == 137
    assert "out of memory" in result.stderr
    bare("run", "-d", "--name", "eater", "--network", "none", *flags, busybox, "sh", "-c", EAT)
    assert bare("wait", "eater").stdout == "137\n"
    found = json.loads(bare("inspect", "eater").stdout)[0]
    bare("rm", "eater")
    assert found["State"]["OOMKilled"]
    assert found["Limits"] == [
        {
            "File": "memory.max",
            "Value": str(40 << 20),
            "Flag": "--memory",
            "Status": f"best effort: a watchdog ends the container above {40 << 20} bytes",
        }
    ]


def test_update_changes_a_running_and_a_stopped_container(
    rootless, busybox, needs_cgroup_delegation
):
    before, after = "cgroup.max.depth=3", "cgroup.max.depth=7"
    rootless("run", "-d", "--name", "up", "--network", "none", "--cgroup-conf", before, busybox, "sleep", "60")  # fmt: skip
    try:
        path = rootless("inspect", "up", "--format", "{{.State.CgroupPath}}").stdout.strip()
        assert rootless("update", "--cgroup-conf", after, "up").stdout == "up\n"
        assert _read(f"{path}/cgroup.max.depth") == "7\n"
        rootless("stop", "-t", "0", "up")
        rootless("update", "--cgroup-conf", "cgroup.max.descendants=5", "up")
        rootless("start", "up")
        path = rootless("inspect", "up", "--format", "{{.State.CgroupPath}}").stdout.strip()
        assert _read(f"{path}/cgroup.max.depth") == "7\n"
        assert _read(f"{path}/cgroup.max.descendants") == "5\n"
    finally:
        rootless("rm", "-f", "-t", "0", "up")


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def test_update_changes_the_restart_policy_at_once(rootless, busybox):
    rootless("run", "-d", "--name", "policy", "--network", "none", busybox, "sleep", "60")
    try:
        rootless("update", "--restart", "on-failure:1", "policy")
        rootless("kill", "-s", "USR1", "policy", check=False)
        pid = rootless("inspect", "policy", "--format", "{{.State.Pid}}").stdout.strip()
        os.kill(int(pid), 9)
        wait_until(
            lambda: rootless("inspect", "policy", "--format",
                             "{{.State.Pid}} {{.State.Running}}").stdout.split()[0]
            not in (pid, "0"),
            "a second start",
        )  # fmt: skip
        shown = rootless("inspect", "policy", "--format", "{{json .HostConfig.RestartPolicy}}")
        assert json.loads(shown.stdout) == {"Name": "on-failure", "MaximumRetryCount": 1}
    finally:
        rootless("rm", "-f", "-t", "0", "policy")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "nothing to change"),
        (("--restart", "sometimes"), "unknown"),
        (("--memory-swap", "5m"), "needs --memory"),
    ],
)
def test_an_update_that_makes_no_sense_changes_nothing(flags, said, rootless, busybox):
    rootless("create", "--name", "same", "--network", "none", busybox, "true")
    try:
        assert said in rootless.fails("update", *flags, "same")
        assert json.loads(rootless("inspect", "same").stdout)[0]["Limits"] == []
    finally:
        rootless("rm", "same")


def test_places_for_cgroups(rootless, busybox, needs_cgroup_delegation):
    top = own_cgroup()
    rootless("run", "-d", "--name", "placed", "--network", "none", "--cgroup-parent", "below/it",
             busybox, "sleep", "60")  # fmt: skip
    try:
        path = rootless("inspect", "placed", "--format", "{{.State.CgroupPath}}").stdout.strip()
        assert os.path.dirname(path) == f"{top}/below/it"
    finally:
        rootless("rm", "-f", "-t", "0", "placed")
        os.removedirs(f"{top}/below/it")
    assert rootless(*RUN, "--cgroups", "split", busybox, "echo", "fine").stdout == "fine\n"
    for parent in ("/elsewhere", "../../../.."):
        assert "cgroup" in rootless.fails(*RUN, "--cgroup-parent", parent, busybox, "true")


def test_the_hosts_processes_can_be_seen_with_the_usual_network(rootless, busybox):
    shown = rootless(
        "run", "--rm", "--pid", "host", busybox, "sh", "-c", "ls -d /proc/[0-9]* | wc -l"
    )
    assert int(shown.stdout) > 3
