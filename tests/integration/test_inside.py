"""What a container sees: identity, namespaces, privileges, file systems, names."""

from __future__ import annotations

import os
import re
import socket

import pytest

# The narrow default set: what images need, and nothing that reaches the host (docs/security.md).
DEFAULT_CAPABILITIES = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("net_bind_service", "sys_chroot", "setfcap"),
)
NUMBERS = {
    **{
        "chown": 0,
        "dac_override": 1,
        "fowner": 3,
        "fsetid": 4,
        "kill": 5,
        "setgid": 6,
        "setuid": 7,
    },
    **{"setpcap": 8, "net_bind_service": 10, "sys_chroot": 18, "setfcap": 31},
}


@pytest.fixture
def inside(rootless, busybox):
    """Run a shell line in a container without a network; its standard output."""

    def run(line, *flags):
        return rootless(
            "run", "--rm", "--network", "none", *flags, busybox, "sh", "-c", line
        ).stdout

    return run


def status_of(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_container_root_is_the_calling_user(inside):
    uid, first, *_ = inside("id -u; cat /proc/self/uid_map").split("\n")
    assert uid == "0"
    assert first.split()[:2] == ["0", str(os.getuid())]


def test_all_subordinate_ids_are_there(needs_subids, inside):
    lines = inside("cat /proc/self/uid_map").splitlines()
    assert sum(int(line.split()[2]) for line in lines) > 65536
    assert inside("touch /tmp/f; chown 1000:1000 /tmp/f; stat -c %u:%g /tmp/f") == "1000:1000\n"


def test_the_program_is_the_first_process_and_sees_no_other(inside):
    assert inside("echo $$; ls -d /proc/[0-9]*").split()[:2] == ["1", "/proc/1"]


def test_no_network_is_only_the_loopback_interface_and_it_is_up(inside):
    assert inside("ls /sys/class/net; cat /sys/class/net/lo/flags") == "lo\n0x9\n"
    assert (
        inside("ping -c1 -W1 127.0.0.1 >/dev/null 2>&1 || nc -z 127.0.0.1 1; echo done") == "done\n"
    )


def test_the_host_name_is_its_own(inside):
    assert re.fullmatch(r"[0-9a-f]{12}\n", inside("hostname"))
    assert inside("hostname; cat /etc/hostname", "-h", "mine") == "mine\nmine\n"
    assert "mine" in inside("cat /etc/hosts", "-h", "mine")
    assert socket.gethostname() != inside("hostname").strip()


def test_every_namespace_but_time_is_its_own(inside):
    kinds = ("user", "mnt", "pid", "uts", "ipc", "net", "cgroup")
    listed = inside("for n in user mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; done")
    for kind, shown in zip(kinds, listed.split(), strict=True):
        assert shown != os.readlink(f"/proc/self/ns/{kind}"), kind


def test_privileges_are_the_narrow_default(inside):
    status = status_of(inside("cat /proc/self/status"))
    mask = sum(1 << NUMBERS[name] for name in DEFAULT_CAPABILITIES)
    assert int(status["CapEff"], 16) == mask
    assert int(status["CapBnd"], 16) == mask
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_no_signal_is_ignored_or_blocked_at_the_start(rootless, busybox, inside):
    for flags in ((), ("-t",)):
        status = status_of(inside("exec cat /proc/self/status", *flags).replace("\r", ""))
        assert int(status["SigIgn"], 16) == int(status["SigBlk"], 16) == 0


def test_only_the_standard_descriptors_are_open(inside):
    # The shell's own look at the directory adds one.
    assert inside("ls /proc/self/fd").split() == ["0", "1", "2", "3"]


def test_the_environment_is_that_of_the_image_and_the_command_line(rootless, busybox):
    line = ("run", "--rm", "--network", "none", "-e", "ONE=1", "-e", "PASSED", busybox, "env")
    shown = rootless(*line, env={"SECRET_OF_THE_HOST": "x", "PASSED": "on"}).stdout
    names = dict(each.split("=", 1) for each in shown.splitlines())
    assert names["ONE"] == "1" and names["PASSED"] == "on"
    assert set(names) <= {"ONE", "PASSED", "PATH", "HOME", "HOSTNAME", "TERM", "container"}


def test_the_usual_file_systems_are_mounted(inside):
    mounts = {}
    for line in inside("cat /proc/mounts").splitlines():
        source, target, kind, options, *_ = line.split()
        mounts[target] = (source, kind, options.split(","))
    assert mounts["/proc"][1] == "proc"
    assert mounts["/sys"][1] in ("sysfs", "none") or mounts["/sys"][1]
    assert "ro" in mounts["/sys"][2]
    assert mounts["/dev"][1] == "tmpfs"
    assert mounts["/dev/pts"][1] == "devpts"
    assert mounts["/dev/shm"][1] == "tmpfs"
    for name in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
        assert name in mounts


def test_devices_are_the_harmless_ones(inside):
    listed = inside("ls /dev").split()
    assert {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "ptmx"} <= set(
        listed
    )
    assert not {"kvm", "fuse", "mem", "sda", "vda"} & set(listed)
    assert inside("echo gone > /dev/null; head -c 2 /dev/zero | od -An -tx1") == " 00 00\n"


def test_masked_and_read_only_paths_cannot_be_used(inside):
    said = inside(
        "for f in /proc/kcore /proc/keys /proc/timer_list; do cat $f 2>/dev/null | wc -c; done"
    )
    assert said.split() == ["0", "0", "0"]
    said = inside("echo 1 > /proc/sys/kernel/printk; echo b > /proc/sysrq-trigger; echo kept")
    assert said == "kept\n"


def test_what_is_written_is_gone_with_the_container(rootless, busybox):
    run = ("run", "--rm", "--network", "none", busybox)
    assert rootless(*run, "sh", "-c", "echo x > /written; cat /written").stdout == "x\n"
    assert rootless(*run, "ls", "/").stdout.split() == sorted(
        ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"]
    )


def test_a_cgroup_of_its_own_where_ours_is_delegated(needs_cgroup_delegation, inside):
    assert inside("cat /proc/self/cgroup").splitlines()[-1] == "0::/"


def test_the_host_network_still_comes_with_a_cgroup_of_its_own(
    needs_cgroup_delegation, rootless, busybox
):
    """The host's /sys is shown then, and has a cgroup2 of its own below it."""
    line = "cat /proc/self/cgroup; ls /sys/class/net; touch /sys/fs/cgroup/x 2>&1"
    shown = rootless("run", "--rm", "--network", "host", busybox, "sh", "-c", line, check=False)
    assert "0::/" in shown.stdout.splitlines()
    assert "Read-only" in shown.stdout + shown.stderr or "ermission" in shown.stdout


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "vfs"])
def test_every_storage_driver_gives_the_same_root(driver, request, new_store, images):
    if driver != "vfs":
        request.getfixturevalue({"overlay": "needs_overlay"}.get(driver, "needs_fuse"))
    rootless = new_store()
    rootless.environment["ROOTLESS_STORAGE_DRIVER"] = driver
    line = "cat /data/kept /data/link /hidden/new; ls /data; ls /hidden; cat /data/removed"
    result = rootless(
        *("run", "--rm", "--network", "none", images.layered, "sh", "-c", line), check=False
    )
    assert result.stdout.split() == ["kept", "linked", "new", "kept", "link", "original", "new"]
    assert "No such file" in result.stderr
