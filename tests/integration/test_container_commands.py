"""The commands on existing containers, as their users meet them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest

from rootless import files
from tests.support.waiting import wait_until

HEADINGS = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]


@pytest.fixture
def sleeper(rootless, busybox):
    """A container that runs until the test is over."""
    name = f"sleeper-{time.monotonic_ns()}"
    rootless(
        *("run", "-d", "--name", name, "--network", "none", "--label", "kind=test"), busybox,
        "sh", "-c", "echo begun; echo wrong >&2; exec sleep 1000",
    )  # fmt: skip
    yield name
    rootless("rm", "-f", "-t", "0", name, check=False)


def test_ps_shows_what_runs(rootless, sleeper, busybox):
    lines = rootless("ps").stdout.splitlines()
    assert [word for word in HEADINGS if word not in lines[0]] == []
    [line] = [line for line in lines if sleeper in line]
    assert "Up " in line
    assert sleeper in rootless("ps", "-a", "--format", "{{.Names}}").stdout.split()
    identifier = rootless("ps", "-q", "--no-trunc", "--filter", f"name=^{sleeper}$").stdout.strip()
    assert len(identifier) == 64
    [document] = [
        each
        for each in json.loads(rootless("ps", "--format", "json").stdout)
        if each["Id"] == identifier
    ]
    assert document["State"] == "running"
    assert document["Labels"] == {"kind": "test"}
    assert document["Command"][0] == "sh"


@pytest.mark.parametrize(
    ("filter", "fits"),
    [
        ("label=kind", True), ("label=kind=test", True), ("label=kind=other", False),
        ("status=running", True), ("status=exited", False), ("name=sleep", True), ("network=none", True),
        ("exited=0", False), ("health=none", True), ("until=24h", False),
    ],
)  # fmt: skip
def test_ps_filters(rootless, sleeper, filter, fits):
    shown = rootless("ps", "-a", "--filter", filter, "--format", "{{.Names}}").stdout.split()
    assert (sleeper in shown) == fits


def test_ps_refuses_what_it_does_not_know(rootless):
    assert "unknown filter" in rootless.fails("ps", "--filter", "colour=red")
    assert "unknown status" in rootless.fails("ps", "--filter", "status=asleep")


def test_logs_keep_the_streams_apart(rootless, sleeper):
    wait_until(lambda: "wrong" in rootless("logs", sleeper).stderr, what="both lines")
    logs = rootless("logs", sleeper)
    assert (logs.stdout, logs.stderr) == ("begun\n", "wrong\n")
    assert rootless("logs", "--tail", "1", sleeper).stdout == ""
    assert rootless("logs", "-t", sleeper).stdout.endswith("Z begun\n")
    assert rootless("logs", "--names", sleeper).stdout == f"{sleeper} begun\n"
    assert rootless("logs", "--since", "1h", sleeper).stdout == "begun\n"
    assert rootless("logs", "--until", "1h", sleeper).stdout == ""


def test_logs_follow_to_the_end(rootless, busybox):
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.05; done"
    identifier = rootless(
        "run", "-d", "--network", "none", busybox, "sh", "-c", script
    ).stdout.strip()
    followed = rootless("logs", "-f", identifier).stdout
    assert followed.split() == list("123456789")
    rootless("rm", identifier)


def test_binary_output_is_kept_as_it_is(rootless, busybox):
    script = "head -c 300000 /dev/urandom > /tmp/x; md5sum < /tmp/x >&2; cat /tmp/x"
    rootless("run", "--name", "binary", "--network", "none", busybox, "sh", "-c", script)
    pipe = rootless.start("logs", "binary")
    stdout, stderr = pipe.communicate()
    import hashlib

    assert hashlib.md5(stdout).hexdigest() == stderr.split()[0].decode()
    rootless("rm", "binary")


def test_inspect_has_dockers_shape(rootless, sleeper, busybox):
    [document] = json.loads(rootless("inspect", sleeper).stdout)
    assert document["State"]["Status"] == "running"
    assert document["State"]["Pid"] > 0
    assert document["Config"]["Labels"] == {"kind": "test"}
    assert document["Config"]["Cmd"][0] == "sh"
    assert document["HostConfig"]["NetworkMode"] == "none"
    assert document["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert document["Backends"]["storage"] == document["Driver"]
    assert (
        rootless("inspect", "-f", "{{.State.Running}} {{.Name}}", sleeper).stdout
        == f"true /{sleeper}\n"
    )
    assert rootless("container", "inspect", "-f", "{{len .Id}}", sleeper).stdout == "64\n"
    assert rootless("inspect", "--type", "image", "-f", "{{.Os}}", busybox).stdout == "linux\n"
    failed = rootless("inspect", "nothing", check=False)
    assert (failed.exit_code, json.loads(failed.stdout)) == (1, [])


def test_top_shows_processes_by_their_own_ids(rootless, sleeper):
    rootless("exec", "-d", sleeper, "sleep", "77")
    lines = [line.split() for line in rootless("top", sleeper, "pid,user,args").stdout.splitlines()]
    assert lines[0] == ["PID", "USER", "COMMAND"]
    assert ["1", "root", "sleep", "1000"] in lines
    assert [line[1:] for line in lines].count(["root", "sleep", "77"]) == 1
    assert "no column" in rootless.fails("top", sleeper, "colour")


def test_stats_count_something(rootless, sleeper):
    [document] = json.loads(rootless("stats", "--no-stream", "--format", "json", sleeper).stdout)
    assert document["running"]
    assert document["pids"] >= 1
    assert 0 < document["mem_bytes"] < document["mem_limit_bytes"]
    assert "CPU %" in rootless("stats", "--no-stream").stdout


def test_a_renamed_container_keeps_its_name_when_it_ends(rootless, sleeper):
    rootless("rename", sleeper, f"{sleeper}-new")
    rootless("stop", "-t", "0", f"{sleeper}-new")
    assert (
        rootless("ps", "-a", "--filter", f"name={sleeper}", "--format", "{{.Names}}").stdout
        == f"{sleeper}-new\n"
    )
    assert "no container" in rootless.fails("inspect", "--type", "container", sleeper)
    assert "not valid" in rootless.fails("rename", f"{sleeper}-new", "../x")
    rootless("rm", f"{sleeper}-new")


def test_one_failure_does_not_keep_the_others_from_being_done(rootless, sleeper):
    result = rootless("stop", "-t", "0", "missing", sleeper, check=False)
    assert result.exit_code == 1
    assert result.stdout == f"{sleeper}\n"
    assert "no container 'missing'" in result.stderr
    assert rootless("inspect", "-f", "{{.State.Status}}", sleeper).stdout == "exited\n"
    assert rootless("stop", "--ignore", "missing").stdout == ""


def test_containers_are_chosen_by_filter_latest_and_cidfile(rootless, busybox, tmp_path):
    cidfile = tmp_path / "cid"
    rootless("create", "--cidfile", str(cidfile), "--name", "chosen", "--label", "pick=me", busybox)
    assert rootless("ps", "-a", "--latest", "--format", "{{.Names}}").stdout == "chosen\n"
    assert rootless("inspect", "-l", "-f", "{{.Name}}").stdout == "/chosen\n"
    assert "is named" in rootless.fails("rm")
    rootless("rm", "--cidfile", str(cidfile))
    rootless("create", "--name", "chosen", "--label", "pick=me", busybox)
    assert rootless("rm", "--filter", "label=pick=me").stdout == "chosen\n"


def test_prune_removes_what_does_not_run(rootless, sleeper, busybox):
    identifier = rootless("create", "--label", "prune=me", busybox).stdout.strip()
    assert "nobody is there to confirm" in rootless.fails("container", "prune")
    assert rootless("container", "prune", stdin="n\n", check=False).stdout == ""
    result = rootless("container", "prune", "-f", "--filter", "label=prune").stdout
    assert result.startswith(f"{identifier}\nTotal reclaimed space: ")
    assert sleeper in rootless("ps", "--format", "{{.Names}}").stdout
    assert rootless("container", "exists", identifier, check=False).exit_code == 1
    assert rootless("container", "exists", sleeper).exit_code == 0


def test_completion_knows_the_names_in_the_store(rootless, sleeper, busybox):
    assert sleeper in rootless("__complete", "fish", "stop", "").stdout.split("\n")
    found = rootless("__complete", "fish", "run", "--rm", "").stdout
    assert busybox.removeprefix("docker.io/library/") in found


def test_env_files_and_the_callers_variables(rootless, busybox, tmp_path):
    file = tmp_path / "env"
    file.write_text("# comment\nA=from file\nMINE\nPRE_X=1\n")
    shown = rootless(
        *(
            "run",
            "--rm",
            "--network",
            "none",
            "--env-file",
            str(file),
            "-e",
            "A=strong",
            "-e",
            "GLOB_*",
        ),
        *(busybox, "env"),
        env={"MINE": "yes", "GLOB_A": "1", "OTHER": "no"},
    ).stdout.splitlines()
    assert {"A=strong", "MINE=yes", "PRE_X=1", "GLOB_A=1"} <= set(shown)
    assert not [line for line in shown if line.startswith("OTHER")]
    assert "cannot read" in rootless.fails("run", "--env-file", "/nope", busybox)


def test_flags_of_others_are_refused_by_name(rootless, busybox):
    assert "--pod is not possible: there are no pods" in rootless.fails(
        "run", "--pod", "p", busybox
    )
    assert "did you mean --privileged?" in rootless.fails("run", "--priviledged", busybox)
    rootless(
        "run",
        "--rm",
        "--network",
        "none",
        "--disable-content-trust",
        "--isolation=default",
        busybox,
        "true",
    )


@pytest.mark.parametrize(
    "line",
    [
        *(
            "start {}",
            "stop {}",
            "restart {}",
            "kill {}",
            "pause {}",
            "wait {}",
            "rm {}",
            "logs {}",
        ),
        *("attach {}", "inspect {}", "top {}", "port {}", "diff {}", "export {}", "commit {}"),
        *("init {}", "rmi {}", "untag {}", "rename {} x", "exec {} true", "cp {}:/x -", "stats {}"),
        *("volume rm {}", "network rm {}", "image inspect {}", "start {} {}"),
    ],
)
def test_what_is_not_there_is_said_with_1_as_docker_does(rootless, line):
    said = rootless.fails(*line.replace("{}", "nosuch").split(), exit_code=1)
    assert "nosuch" in said
    assert "rootless pull" not in said or line.startswith("image inspect")


def test_a_container_that_runs_is_removed_by_force_only(rootless, sleeper):
    assert "is running" in rootless.fails("rm", sleeper, exit_code=1)


def test_who_enters_a_paused_container_is_told(rootless, sleeper, needs_cgroup_delegation):
    rootless("pause", sleeper)
    assert "is paused" in rootless.fails("exec", sleeper, "true", exit_code=1, timeout_s=10)
    rootless("unpause", sleeper)
    rootless("exec", sleeper, "true")


def test_top_takes_what_people_type_after_ps(rootless, sleeper):
    for words, first in {
        "aux": "USER",
        "-ef": "USER",
        "-o pid,comm": "PID",
        "stat": "STATE",
    }.items():
        assert rootless("top", sleeper, *words.split()).stdout.split()[0] == first
    assert rootless("top", "--latest").stdout.split()[0] == "USER"
    assert "no container is named" in rootless.fails("top")


def test_waiting_for_one_that_never_ran_or_goes_by_itself(rootless, busybox):
    rootless("create", "--name", "never", "--network", "none", busybox)
    assert rootless("wait", "never", timeout_s=10).stdout == "0\n"
    rootless("rm", "never")
    line = ("run", "-d", "--rm", "--name", "passing", "--network", "none", busybox)
    rootless(*line, "sh", "-c", "sleep 1; exit 6")
    assert rootless("wait", "--condition", "next-exit", "passing").stdout == "6\n"


@pytest.mark.parametrize("flags", [(), ("--rm",)])
def test_what_ran_when_the_run_time_state_went_has_ended(rootless, busybox, flags):
    """A reboot or a logout takes the run-time directory away, with the monitor and the container."""
    line = ("run", "-d", "--name", "lost", *flags, "--network", "none", busybox, "sleep", "1000")
    container_id = rootless(*line).stdout.strip()
    monitor = int(rootless("inspect", "-f", "{{.State.ConmonPid}}", "lost").stdout)
    os.kill(monitor, signal.SIGKILL)
    directory = f"{rootless.home}/run/containers/{container_id}"
    wait_until(lambda: not files.is_locked(f"{directory}/alive.lock"), "the monitor's end")
    shutil.rmtree(directory)
    shown = rootless("ps", "-a", "--filter", "name=^lost$", "--format", "{{.Status}}").stdout
    if flags:
        assert shown == ""
        return
    assert shown.startswith("Exited (137)")
    state = rootless("inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "lost").stdout
    assert state == "137 the machine or the user's session ended\n"
    assert rootless("start", "lost").stdout == "lost\n"
    rootless("rm", "-f", "-t", "0", "lost")


@pytest.mark.parametrize(
    ("flags", "said"),
    [(("--restart", "asleep"), "is unknown"), (("--rm", "--restart", "always"), "cannot be had")],
)
def test_a_wrong_restart_policy_leaves_no_container(rootless, busybox, flags, said):
    assert said in rootless.fails("run", "-d", *flags, "--name", "unmade", busybox, "true")
    assert rootless("container", "exists", "unmade", check=False).exit_code == 1


def test_inspect_says_dockers_words_of_a_health_check_and_ports(rootless, busybox):
    flags = ("--health-cmd", "test -e /ok", "--health-interval", "1.5s", "--expose", "99")
    rootless("create", "--name", "checked", *flags, "-p", "127.0.0.1::80", busybox)
    config = json.loads(rootless("inspect", "-f", "{{json .Config}}", "checked").stdout)
    rootless("rm", "checked")
    check = config["Healthcheck"]
    assert check["Test"] == ["CMD-SHELL", "test -e /ok"]
    assert (check["Interval"], check["Timeout"], check["Retries"]) == (
        1_500_000_000,
        30_000_000_000,
        3,
    )
    assert config["ExposedPorts"].keys() >= {"80/tcp"}


@pytest.mark.parametrize("line", ["rm -f", "stop -t 0"])
def test_a_stopped_exec_does_not_keep_its_container_from_ending(rootless, sleeper, line):
    """Nobody else may collect its program, and the container's first process waits for that."""
    entered = rootless.start("exec", sleeper, "sh", "-c", "echo in; sleep 1000")
    try:
        assert entered.stdout.readline() == b"in\n"
        entered.send_signal(signal.SIGSTOP)
        rootless(*line.split(), sleeper, timeout_s=10)
        assert entered.wait(10) == 137
    finally:
        entered.kill()
        entered.communicate()
