"""Limits by their effect, in a login whose cgroup belongs to root, and changed while they hold."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile

import pytest

from tests.support.waiting import wait_until
from tests.vm.conftest import IMAGE

pytestmark = pytest.mark.kvm
RUN = ("run", "--rm", "--network", "none")
DOOR = "/run/vm/login"
EAT = "x=a; while :; do x=$x$x; done"


@pytest.fixture
def login(machine, tmp_path):
    """Run a command as in a login by ssh: the user's, in a cgroup of root's; its status and output."""

    def run(*argv):
        out, status, script = (tmp_path / name for name in ("out", "status", "script"))
        status.unlink(missing_ok=True)
        code = machine.environment["PYTHONPATH"]
        environment = {
            **machine.environment,
            "PYTHONPATH": f"{code}:{os.environ.get('PYTHONPATH', '')}",  # where jeepney is
        }
        lines = [f"export {k}={shlex.quote(v)}" for k, v in environment.items()]
        command = shlex.join([*machine.command, *argv])
        lines += [f"{command} > {out} 2>&1", f"echo $? > {status}.new; mv {status}.new {status}"]
        script.write_text("\n".join(lines) + "\n")
        with open(DOOR, "w", encoding="utf-8") as door:
            door.write(f"{script}\n")
        wait_until(status.exists, "the end of a command in a login", timeout_s=90)
        return int(status.read_text()), out.read_text()

    return run


def test_a_login_gets_its_limits_from_a_scope_of_systemd(login, needs_user_manager):
    code, text = login(*RUN, "--memory", "48m", "--pids-limit", "20", IMAGE, "sh", "-c",
                       "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max")  # fmt: skip
    assert (code, text.split()) == (0, [str(48 << 20), "20"]), text
    # A plain run asks nobody.
    code, text = login(*RUN, IMAGE, "cat", "/proc/self/cgroup")
    assert code == 0, text
    assert ".scope" not in text


def test_in_a_scope_a_container_is_like_any_other(login, machine, needs_user_manager):
    code, text = login("run", "-d", "--name", "scoped", "--network", "none", "--memory", "32m",
                       "--memory-swap", "32m", "--health-cmd", "grep -q ^0::/$ /proc/self/cgroup",
                       "--health-interval", "500ms", IMAGE, "sleep", "600")  # fmt: skip
    assert code == 0, text
    found = json.loads(machine("inspect", "scoped").stdout)[0]
    assert ".scope/" in found["State"]["CgroupPath"]
    assert found["Limits"][0]["Status"] == "enforced"
    code, text = login("exec", "scoped", "cat", "/proc/self/cgroup")
    assert code == 0, text
    code, text = login("healthcheck", "run", "scoped")
    assert (code, text) == (0, ""), text
    machine("wait", "--condition", "healthy", "scoped")
    machine("pause", "scoped")
    machine("unpause", "scoped")
    code, text = login("exec", "scoped", "sh", "-c", EAT)
    assert code == 137, text
    code, text = login("update", "--memory", "40m", "--memory-swap", "40m", "scoped")
    assert code == 0, text
    with open(f"{found['State']['CgroupPath']}/memory.max", encoding="ascii") as file:
        assert file.read() == f"{40 << 20}\n"
    machine("rm", "-f", "-t", "0", "scoped")
    wait_until(lambda: "rootless-" not in _units(), "the end of the scope")


def _units():
    return subprocess.run(
        ["systemctl", "--user", "list-units", "--type=scope", "--plain"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_out_of_memory_in_a_scope_is_reported(login, machine, needs_user_manager):
    limits = ("--memory", "32m", "--memory-swap", "32m")
    code, text = login("run", "-d", "--name", "hungry", "--network", "none", *limits,
                       "--restart", "on-failure:1", IMAGE, "sh", "-c", EAT)  # fmt: skip
    assert code == 0, text
    assert machine("wait", "hungry", timeout_s=90).stdout == "137\n"
    last = json.loads(machine("inspect", "hungry").stdout)[0]
    machine("rm", "hungry")
    assert last["State"]["OOMKilled"]
    assert last["RestartCount"] == 1
    code, text = login(*RUN, *limits, IMAGE, "sh", "-c", EAT)
    assert code == 137
    assert "out of memory" in text


def test_out_of_memory_in_an_earlier_run_does_not_count_for_a_later_one(
    machine, needs_cgroup_controllers
):
    once = f"[ -e /tmp/again ] && exit 3; touch /tmp/again; {EAT}"
    machine("run", "-d", "--name", "once", "--network", "none", "--memory", "32m", "--memory-swap",
            "32m", "--restart", "on-failure:1", IMAGE, "sh", "-c", once)  # fmt: skip
    assert machine("wait", "once", timeout_s=90).stdout == "3\n"
    state = json.loads(machine("inspect", "once").stdout)[0]["State"]
    machine("rm", "once")
    assert not state["OOMKilled"]


def test_a_slice_can_be_chosen(login, needs_user_manager):
    code, text = login("run", "-d", "--rm", "--name", "sliced", "--network", "none",
                       "--cgroup-parent", "batch.slice", IMAGE, "sleep", "60")  # fmt: skip
    assert code == 0, text
    assert "batch.slice" in login("inspect", "sliced", "--format", "{{.State.CgroupPath}}")[1]
    login("rm", "-f", "-t", "0", "sliced")


def test_doctor_knows_the_way(login, needs_user_manager):
    code, text = login("doctor", "--json", "--registry", "none")
    assert code == 0, text
    checks = {each["name"]: each for each in json.loads(text)["checks"]}
    assert checks["cgroup"]["using"].startswith("a scope of systemd")
    assert {"cpu", "memory", "pids", "io"} <= set(checks["controllers"]["using"].split())


def test_the_next_best_is_only_taken_for_what_a_scope_cannot_enforce(login, needs_user_manager):
    line = "cat /sys/fs/cgroup/memory.max; ulimit -u"
    flags = ("--best-effort-limits", "--memory", "48m", "--cgroup-conf", "misc.max=x")
    code, text = login(*RUN, *flags, IMAGE, "sh", "-c", line)
    assert code == 0, text
    assert text.split()[0] == str(48 << 20)


def test_limits_of_a_running_container_are_changed(machine, needs_cgroup_controllers):
    machine("run", "-d", "--name", "changed", "--network", "none", "--cpus", "0.2", IMAGE,
            "sh", "-c", "while :; do :; done")  # fmt: skip
    try:
        path = machine("inspect", "changed", "--format", "{{.State.CgroupPath}}").stdout.strip()
        machine("update", "--cpus", "0.8", "--pids-limit", "9", "changed")
        read = {name: _read(f"{path}/{name}") for name in ("cpu.max", "pids.max")}
        assert read == {"cpu.max": "80000 100000\n", "pids.max": "9\n"}
    finally:
        machine("rm", "-f", "-t", "0", "changed")


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def test_a_disk_is_written_no_faster_than_allowed(machine, request, needs_cgroup_controllers):
    directory = tempfile.mkdtemp(prefix="io-", dir="/var/tmp")
    request.addfinalizer(lambda: shutil.rmtree(directory))
    number = os.stat(directory).st_dev
    entry = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/uevent"
    if not os.path.exists(entry):
        pytest.skip(f"{directory} lies on no block device")
    name = next(line[8:] for line in _read(entry).splitlines() if line.startswith("DEVNAME="))
    line = "dd if=/dev/zero of=/v/file bs=64k count=64 oflag=direct 2>&1 | tail -1"
    command = ("-v", f"{directory}:/v", IMAGE, "sh", "-c", f"date +%s; {line}; date +%s")
    begin, *_, end = machine(
        *RUN, "--device-write-bps", f"/dev/{name}:1mb", *command
    ).stdout.split()
    # 4 MiB at 1 MiB a second, of which the first slice may be free.
    assert int(end) - int(begin) >= 2
    begin, *_, end = machine(*RUN, *command).stdout.split()
    assert int(end) - int(begin) < 2


def test_a_controller_that_is_missing_is_named(machine, needs_cgroup_controllers):
    said = machine.fails(*RUN, "--cgroup-conf", "misc.max=x", IMAGE, "true")
    assert "misc" in said
