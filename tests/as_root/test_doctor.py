"""``doctor`` against hosts that are broken on purpose: it must name the true cause, and the remedy."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import NamedTuple

import pytest

from tests.support.cli import CHECKOUT, Rootless
from tests.support.places import USER, Place, hidden, home_for


class Broken(NamedTuple):
    """How a host is broken, and what ``doctor`` must say of it.

    ``lines`` are shell lines of root in a mount namespace, ``before`` a command in front of ours as
    the user; ``HOME`` in either is the user's directory.
    """

    check: str
    level: str
    cause: str
    remedy: str
    lines: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    environment: dict[str, str | None] = {}  # noqa: RUF012  # a constant


INSIDE = ("unshare", "--user", "--map-root-user", "--map-auto")
# A seccomp filter that refuses unshare(2) with EPERM, as the one of docker does.
REFUSE_UNSHARE = """
import os, struct, sys
from rootless.kernel import process
ins = lambda code, jt, jf, k: struct.pack("HBBI", code, jt, jf, k)
number = {"x86_64": 272}.get(os.uname().machine, 97)
program = ins(0x20, 0, 0, 0) + ins(0x15, 0, 1, number) + ins(6, 0, 0, 0x50001) + ins(6, 0, 0, 0x7FFF0000)
process.set_no_new_privileges()
process.install_filter(program)
os.execvp(sys.argv[1], sys.argv[1:])
"""
UNIFIED = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"

HOSTS = {
    "no newuidmap": Broken(
        "ids", "less", "newuidmap is not installed", "uidmap",
        lines=("mkdir HOME/bin", "ln -s /usr/bin/* HOME/bin/", "rm HOME/bin/newuidmap",
               "PATH=HOME/bin:/usr/sbin; export PATH"),
    ),
    "no range in subuid": Broken(
        "ids", "less", "no range in /etc/subuid", "usermod --add-subuids",
        lines=tuple(hidden("/etc/subuid")),
    ),
    "no range in subgid": Broken(
        "ids", "less", "no range in /etc/subgid", "usermod", lines=tuple(hidden("/etc/subgid"))
    ),
    "newuidmap without setuid": Broken(
        "ids", "less", "neither setuid nor has it file capabilities", "chmod u+s",
        lines=("cp /usr/bin/newuidmap HOME/plain", "chmod 755 HOME/plain",
               "mount --bind HOME/plain /usr/bin/newuidmap"),
    ),
    "no_new_privs": Broken(
        "ids", "less", "no_new_privs", "outside of what sets it",
        before=("setpriv", "--no-new-privs"),
    ),
    "no /dev/fuse": Broken(
        "fuse", "less", "/dev/fuse is missing", "modprobe fuse",
        lines=("mount -t tmpfs -o mode=755 tmpfs /mnt", "mkdir /mnt/shm /mnt/pts",
               "for each in /dev/*; do case $each in /dev/fuse|/dev/shm|/dev/pts|/dev/mqueue) ;; "
               "*) cp -a $each /mnt/;; esac; done", "mount --move /mnt /dev",
               "mount -t devpts devpts /dev/pts"),
    ),
    "no /dev/net/tun": Broken(
        "tun", "less", "/dev/net/tun is missing", "modprobe tun",
        lines=("mount -t tmpfs tmpfs /dev/net",),
    ),
    "a closed /dev/net/tun": Broken(
        "tun", "less", "/dev/net/tun may not be opened", "chmod 666 /dev/net/tun",
        lines=("mount -t tmpfs tmpfs /dev/net", "mknod -m 600 /dev/net/tun c 10 200"),
    ),
    "cgroup not delegated": Broken(
        "cgroup", "less", "not delegated to you", "loginctl enable-linger", lines=(UNIFIED,)
    ),
    "no cgroup v2": Broken(
        "cgroup", "less", "cgroup v2 is nowhere mounted", "unified_cgroup_hierarchy",
        lines=("umount -R /sys/fs/cgroup",),
    ),
    "no user namespaces allowed": Broken(
        "user-namespace", "broken", "user.max_user_namespaces is 0",
        "sysctl -w user.max_user_namespaces=",
        before=(*INSIDE, "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"),
    ),
    "no network namespaces allowed": Broken(
        "network-namespace", "less", "user.max_net_namespaces is 0",
        "sysctl -w user.max_net_namespaces=",
        before=(*INSIDE, "sh", "-c", 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$@"', "sh"),
    ),
    "a seccomp filter of somebody": Broken(
        "user-namespace", "broken", "seccomp filter forbids", "seccomp=unconfined",
        before=("/usr/bin/python3", "-c", REFUSE_UNSHARE),
    ),
    "AppArmor without a profile": Broken(
        "user-namespace", "broken", "AppArmor restricts", "rootless doctor --apparmor-profile |",
        lines=("mount -t tmpfs -o mode=755 tmpfs /proc/sys/kernel",
               "echo 1 > /proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        before=("/usr/bin/python3", "-c", REFUSE_UNSHARE),
    ),
    "masked procfs": Broken(
        "procfs", "less", "covers /proc/", "unmask=ALL",
        lines=("mount -t tmpfs -o ro tmpfs /proc/scsi || mount -t tmpfs -o ro tmpfs /proc/fs",),
    ),
    "store on noexec": Broken(
        "noexec", "works", "", "", lines=("mount -t tmpfs -o noexec,mode=777 tmpfs HOME/store",)
    ),
    "full store": Broken(
        "store", "broken", "HOME/store is full", "make room",
        lines=("mount -t tmpfs -o size=256k,mode=777 tmpfs HOME/store",
               "dd if=/dev/zero of=HOME/store/full 2>/dev/null || true"),
    ),
    "read-only store": Broken(
        "store", "broken", "is mounted read-only", "ROOTLESS_HOME=",
        lines=("mount -t tmpfs -o ro tmpfs HOME/store",),
    ),
    "no runtime directory": Broken(
        "runtime-directory", "less", "XDG_RUNTIME_DIR is not set", "loginctl enable-linger",
        environment={"XDG_RUNTIME_DIR": None},
    ),
    "no registry": Broken(
        "registry", "less", "registry.invalid", "curl",
    ),
}  # fmt: skip


@pytest.fixture
def home():
    base = tempfile.mkdtemp(prefix="rootless-doctor-", dir="/var/tmp")
    os.chmod(base, 0o711)
    path = home_for(USER, f"{base}/home")
    os.mkdir(f"{path}/store", 0o700)
    shutil.chown(f"{path}/store", USER)
    home_for(USER, f"{base}/run")
    yield path
    shutil.rmtree(base)


def examine(host, home, *flags):
    """The document of ``doctor`` on a broken host, its exit code, and the text that people see."""
    runner = Rootless(f"{home}/store")
    runner.environment.update(
        HOME=home,
        USER=USER,
        LOGNAME=USER,
        TMPDIR="/var/tmp",
        XDG_RUNTIME_DIR=f"{os.path.dirname(home)}/run",
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH=CHECKOUT,
    )
    for name, value in host.environment.items():
        if value is None:
            runner.environment.pop(name)
    lines = tuple(line.replace("HOME", home) for line in host.lines)
    runner.command = Place(*lines).command(*host.before, *runner.command)
    result = runner("doctor", "--json", *flags, check=False)
    assert result.stdout and "Traceback" not in result.stderr, str(result)
    return json.loads(result.stdout), result


@pytest.mark.parametrize("name", HOSTS)
def test_the_true_cause_is_named(name, home):
    host = HOSTS[name]
    registry = "registry.invalid" if host.check == "registry" else "none"
    document, result = examine(host, home, "--registry", registry)
    found = next(each for each in document["checks"] if each["name"] == host.check)
    assert found["level"] == host.level, document
    assert host.cause.replace("HOME", home) in found["why"], found
    assert host.remedy in found["remedy"], found
    # Nothing else is accused of it.
    broken = [each["name"] for each in document["checks"] if each["level"] == "broken"]
    assert broken == ([host.check] if host.level == "broken" else []), document
    assert result.exit_code == (1 if host.level == "broken" else 0), result


def test_what_is_required_and_missing_is_a_failure(home):
    host = HOSTS["no range in subuid"]
    document, result = examine(host, home, "--registry", "none", "--require", "full")
    assert document["tier"] == "single-id"
    assert result.exit_code == 1
    assert "the tier is single-id, not full" in result.stderr
    _, result = examine(host, home, "--registry", "none", "--require", "single-id,layers")
    assert result.exit_code == 0, result
