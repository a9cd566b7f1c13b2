"""Containers that a real systemd starts: quadlets, what runs always, and the journal as a log."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.support.cli import Rootless
from tests.support.waiting import wait_until
from tests.vm.conftest import IMAGE

pytestmark = [pytest.mark.kvm, pytest.mark.usefixtures("needs_user_manager")]
DETACHED = ("run", "-d", "--network", "none")


def systemctl(*argv):
    done = subprocess.run(
        ["systemctl", "--user", *argv], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout.strip()


@pytest.fixture
def units(machine, tmp_path):
    """The command line with the units of this user where systemd looks for them."""
    environment = {**machine.environment, "XDG_CONFIG_HOME": os.path.expanduser("~/.config")}
    return Rootless(machine.home, environment)


@pytest.fixture
def own_store(units, tmp_path):
    """The same with the store that a person has, and a service manager that knows where the code is."""
    units("save", "-q", "-o", str(tmp_path / "busybox.tar"), IMAGE)
    kept = {name: value for name, value in units.environment.items() if name != "ROOTLESS_HOME"}
    own = Rootless(os.path.expanduser("~/.local/share/rootless"), kept)
    del own.environment["ROOTLESS_HOME"]
    systemctl("set-environment", *(f"{name}={kept[name]}" for name in ("PYTHONPATH", "PATH")))
    own("load", "-q", "-i", str(tmp_path / "busybox.tar"))
    yield own
    systemctl("disable", "--now", "rootless-start.service")
    os.unlink(os.path.expanduser("~/.config/systemd/user/rootless-start.service"))
    systemctl("daemon-reload")
    own("system", "reset", "-f")


def test_a_quadlet_is_started_watched_and_stopped_by_systemd(units, tmp_path):
    environment = {name: units.environment[name] for name in ("ROOTLESS_HOME", "PYTHONPATH")}
    lines = [f"Environment={name}={value}" for name, value in environment.items()]
    (tmp_path / "web.container").write_text(
        f"[Container]\nImage={IMAGE}\nNetwork=none\nPidsLimit=50\nExec=sleep 1000\n"
        "[Service]\nRestart=on-failure\nRestartSec=0\n" + "\n".join(lines) + "\n"
    )
    units("quadlet", "install", str(tmp_path / "web.container"))
    try:
        systemctl("start", "web.service")
        assert systemctl("is-active", "web.service") == "active", systemctl("status", "web")
        name = units("ps", "--format", "{{.Names}}").stdout.strip()
        assert name == "systemd-web"
        first = units("inspect", "-f", "{{.State.Pid}}", name).stdout
        assert units("exec", name, "cat", "/sys/fs/cgroup/pids.max").stdout == "50\n"
        os.kill(int(first), signal.SIGKILL)
        wait_until(
            lambda: (
                units("ps", "-q").stdout
                and units("inspect", "-f", "{{.State.Pid}}", name, check=False).stdout != first
            ),
            "systemd to start it again",
            timeout_s=60,
        )
        systemctl("stop", "web.service")
        assert units("ps", "-aq").stdout == ""
    finally:
        units("quadlet", "rm", "web.container")
    assert systemctl("show", "--property=LoadState", "--value", "web.service") == "not-found"


def test_what_runs_always_is_started_with_the_session(own_store):
    said = own_store(*DETACHED, "--name", "kept", "--restart", "always", IMAGE, "sleep", "1000")
    assert "rootless-start.service: it starts container kept" in said.stderr
    assert systemctl("is-enabled", "rootless-start.service") == "enabled"
    monitor = int(own_store("inspect", "-f", "{{.State.ConmonPid}}", "kept").stdout)
    os.kill(monitor, signal.SIGKILL)  # as a power failure would
    wait_until(lambda: own_store("ps", "-q").stdout == "", "the container to end", timeout_s=60)
    systemctl("restart", "rootless-start.service")
    wait_until(lambda: own_store("ps", "-q").stdout != "", "the container to start", timeout_s=60)
    own_store("rm", "-f", "-t", "0", "kept")
    systemctl("disable", "rootless-start.service")
    said = own_store(*DETACHED, "--name", "kept", "--restart", "always", IMAGE, "sleep", "1000")
    own_store("rm", "-f", "-t", "0", "kept")
    assert "systemctl --user enable rootless-start.service" in said.stderr


def test_the_journal_is_a_log(machine):
    machine("run", "--rm", "--network", "none", "--log-driver", "journald", "--name", "told",
            IMAGE, "sh", "-c", "echo to the journal; echo worse >&2")  # fmt: skip

    def lines():
        done = subprocess.run(
            ["journalctl", "--quiet", "--output=cat", "CONTAINER_NAME=told"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return sorted(done.stdout.splitlines())

    wait_until(lambda: lines() == ["to the journal", "worse"], "the journal", timeout_s=30)


def test_split_keeps_container_and_monitor_below_the_callers_cgroup(machine):
    # In a scope of its own, as in a service: what split leaves there goes with it.
    scope = ("systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--")
    flags = ("--name", "halves", "--cgroups", "split", "--memory", "64m")
    command = [*scope, *machine.command, *DETACHED, *flags, IMAGE, "sleep", "1000"]
    subprocess.run(command, env={**os.environ, **machine.environment}, check=True, timeout=120)
    try:
        pid, monitor = machine(
            "inspect", "-f", "{{.State.Pid}} {{.State.ConmonPid}}", "halves"
        ).stdout.split()
        inside, beside = (cgroup_of(each) for each in (pid, monitor))
        assert ".scope/" in inside
        assert inside.partition(".scope/")[0] == beside.partition(".scope/")[0]
        with open(f"/sys/fs/cgroup{inside}/memory.max", encoding="ascii") as file:
            assert file.read() == f"{64 << 20}\n"
    finally:
        machine("rm", "-f", "-t", "0", "halves")


def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return file.read().strip().removeprefix("0::")
