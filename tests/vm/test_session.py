"""In a systemd user session with delegated controllers: cgroups, limits by their effect, tools."""

from __future__ import annotations

import os
import time

import pytest

from tests.conftest import require
from tests.support.capabilities import own_cgroup
from tests.vm.conftest import IMAGE

pytestmark = pytest.mark.kvm
RUN = ("run", "--rm", "--network", "none")


def test_the_machine_is_what_these_tests_need(needs_cgroup_controllers, needs_user_manager):
    assert own_cgroup()
    assert os.getuid() == 1000


def test_hello_from_the_machine(machine):
    assert machine(*RUN, IMAGE, "echo", "fine").stdout == "fine\n"


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "vfs"])
def test_every_driver_works_on_this_kernel(machine, driver):
    if driver == "overlay":
        require("overlay")
    shown = machine(
        *RUN, IMAGE, "sh", "-c", "echo x > /f; cat /f", env={"ROOTLESS_STORAGE_DRIVER": driver}
    )
    assert shown.stdout == "x\n"


def test_more_memory_than_the_limit_is_killed(machine, needs_cgroup_controllers):
    line = ("--memory", "32m", "--memory-swap", "32m", IMAGE, "sh", "-c")
    assert machine(*RUN, *line, "cat /sys/fs/cgroup/memory.max").stdout == f"{32 << 20}\n"
    eat = "x=a; while :; do x=$x$x; done"
    assert machine(*RUN, *line, eat, check=False).exit_code == 137


def test_a_share_of_a_processor_is_what_is_given(machine, needs_cgroup_controllers):
    """Processor time that a busy loop gets in a fixed time, with a quarter of a processor."""
    used = "grep usage_usec /sys/fs/cgroup/cpu.stat"
    loop = f"{used}; timeout 4 sh -c 'while :; do :; done'; {used}"
    limited = machine(*RUN, "--cpus", "0.25", IMAGE, "sh", "-c", loop, check=False).stdout
    _, before, _, after = limited.split()
    used_s = (int(after) - int(before)) / 1e6  # without the start, which emulation makes expensive
    assert 0.5 < used_s < 2.0, limited


def test_a_fork_bomb_stops_at_the_limit_and_the_machine_lives(machine, needs_cgroup_controllers):
    bomb = "b() { b | b & }; b; sleep 3; cat /sys/fs/cgroup/pids.current 2>/dev/null || true"
    limited = (*RUN, "--pids-limit", "32", IMAGE)
    assert machine(*limited, "cat", "/sys/fs/cgroup/pids.max").stdout == "32\n"
    begin = time.monotonic()
    machine(*RUN, "--pids-limit", "32", IMAGE, "timeout", "8", "sh", "-c", bomb, check=False)
    assert time.monotonic() - begin < 60
    assert machine(*RUN, IMAGE, "echo", "alive").stdout == "alive\n"


def test_no_cgroup_is_left_behind(machine):
    top = own_cgroup()
    before = {path for path, _, _ in os.walk(top)}
    machine(*RUN, IMAGE, "true")
    assert {path for path, _, _ in os.walk(top)} <= before


def test_the_runs_of_a_build_have_its_limits(machine, needs_cgroup_controllers):
    """As the cgroup says, and as they are felt."""
    text = (
        f"FROM {IMAGE}\nRUN --network=none cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"
        " > /limits"
    )
    limits = ("--memory=48m", "--memory-swap=48m", "--cpu-period=100000", "--cpu-quota=50000")
    machine("build", "-t", "limited", *limits, "-", stdin=text)
    shown = machine(*RUN, "limited", "cat", "/limits").stdout
    assert shown == f"{48 << 20}\n50000 100000\n"
    eat = f"FROM {IMAGE}\nRUN --network=none x=a; while :; do x=$x$x; done"
    said = machine.fails("build", *limits, "-", stdin=eat, exit_code=1)
    assert "exit code 137" in said
