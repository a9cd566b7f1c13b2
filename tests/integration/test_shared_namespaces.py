"""``container:NAME`` and ``ns:PATH``: every kind of namespace of another container, entered by name or file."""

from __future__ import annotations

import os
import subprocess

import pytest

FLAGS = {
    "--userns": "user",
    "--pid": "pid",
    "--ipc": "ipc",
    "--uts": "uts",
    "--cgroupns": "cgroup",
    "--network": "net",
}


@pytest.fixture(scope="module")
def base(rootless, busybox):
    """The name of a running container, and the /proc/PID/ns of its first process."""
    rootless("run", "-d", "--name", "base", "--network", "none", busybox, "sleep", "1000")
    pid = rootless("inspect", "-f", "{{.State.Pid}}", "base").stdout.strip()
    yield "base", f"/proc/{pid}/ns"
    rootless("rm", "-f", "-t", "0", "base")


@pytest.mark.parametrize("flag", FLAGS)
def test_both_ways_lead_into_the_same_namespace(flag, base, rootless, busybox):
    name, place = base
    kind = FLAGS[flag]
    network = () if flag == "--network" else ("--network=none",)
    for value in (f"container:{name}", f"ns:{place}/{kind}"):
        line = ("run", "--rm", *network, flag, value, busybox, "readlink", f"/proc/self/ns/{kind}")
        assert rootless(*line).stdout.strip() == os.readlink(f"{place}/{kind}")


def test_other_processes_in_sight_leave_room_for_a_network_of_its_own(
    base, rootless, busybox, needs_slirp4netns
):
    """Whoever is in the same pid namespace could trace init, so the helper looks at another process."""
    script = "cat /proc/1/comm; ls /sys/class/net"
    said = rootless("run", "--rm", "--pid", "container:base", busybox, "sh", "-c", script)
    assert said.stdout.split() == ["sleep", "eth0", "lo"]
    rootless("run", "-d", "--name", "two", "--pid", "container:base", busybox, "sleep", "1000")
    try:
        assert rootless("exec", "two", "ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]
        assert (
            "rootless:[netwo"
            not in subprocess.run(
                ["ps", "-o", "comm=", "-u", str(os.getuid())],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )  # it has done its work
    finally:
        rootless("rm", "-f", "-t", "0", "two")


def test_our_own_namespace_is_the_hosts(rootless, busybox):
    line = ("--ipc", "ns:/proc/self/ns/ipc", busybox, "readlink", "/proc/self/ns/ipc")
    said = rootless("run", "--rm", "--network=none", *line).stdout.strip()
    assert said == os.readlink("/proc/self/ns/ipc")


def test_the_cgroups_of_the_host_are_seen_and_not_written(rootless, busybox):
    line = ("--cgroupns=host", busybox, "sh", "-c", "ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/x")
    said = rootless("run", "--rm", "--network=none", *line, check=False)
    assert "cgroup" in said.stdout
    assert "Read-only file system" in said.stderr


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/1/ns/ipc"])
def test_what_is_no_namespace_or_not_ours_is_named(path, rootless, busybox):
    said = rootless.fails("run", "--rm", "--ipc", f"ns:{path}", busybox, "true")
    assert f"cannot enter the namespace {path}" in said


def test_a_user_that_the_map_leaves_out_is_named(rootless, busybox):
    said = rootless.fails("run", "--rm", "--network=none", "-u", "99999999", busybox, "true")
    assert "no user 99999999:0" in said and "/etc/subuid" in said
