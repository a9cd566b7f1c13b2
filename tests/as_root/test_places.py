"""What only root can prepare: being root itself, and hosts that lack something."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile

import pytest

from tests.support.cli import Rootless
from tests.support.places import USER, Place, hidden, home_for

RUN = ("run", "--rm", "--network", "none")
# A device that is there, and that an ordinary user may not open: as on a bare machine.
PRIVATE_FUSE = (
    "mount -t tmpfs tmpfs /mnt",
    "mknod -m 600 /mnt/fuse c 10 229",
    "mount --bind /mnt/fuse /dev/fuse",
)


@pytest.fixture
def place(images, registries_conf):
    """Make a ``rootless`` that runs in a place, with a store of the place's user."""
    base = tempfile.mkdtemp(prefix="rootless-places-", dir="/var/tmp")
    os.chmod(base, 0o711)
    shutil.copy(registries_conf, f"{base}/registries.conf")
    os.chmod(f"{base}/registries.conf", 0o644)

    def make(*lines, user=USER, store=""):
        owner = user or "root"
        home = store or home_for(owner, f"{base}/home-{owner}")
        run_directory = home_for(owner, f"{base}/run-{owner}")
        runner = Rootless(home, {"CONTAINERS_REGISTRIES_CONF": f"{base}/registries.conf"})
        runner.environment.update(
            HOME=home,
            USER=owner,
            LOGNAME=owner,
            TMPDIR="/var/tmp",
            XDG_RUNTIME_DIR=run_directory,
            # Root writes no bytecode into a checkout that others read.
            PYTHONDONTWRITEBYTECODE="1",
        )
        runner.command = Place(*lines, user=user).command(*runner.command)
        return runner

    yield make
    shutil.rmtree(base)


def test_started_as_root_a_container_still_has_a_user_namespace(place, images):
    rootless = place(user=None)
    line = "id -u; readlink /proc/self/ns/user; cat /proc/self/uid_map"
    shown = rootless(*RUN, images.busybox, "sh", "-c", line).stdout.splitlines()
    assert shown[0] == "0"
    assert shown[1] != os.readlink("/proc/self/ns/user")
    assert shown[2].split() != ["0", "0", "4294967295"]


def test_started_as_root_the_container_has_no_power_outside(place, images, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    line = "mount -t tmpfs x /mnt; echo 1 > /proc/sys/kernel/panic; mknod /disk b 254 0"
    result = place(user=None)(*RUN, images.busybox, "sh", "-c", line, check=False)
    assert result.exit_code != 0
    assert result.stderr.count("ermi") + result.stderr.count("ead-only") >= 3, result.stderr


def test_without_a_subordinate_range_there_is_a_single_id(place, images):
    rootless = place(*hidden("/etc/subuid", "/etc/subgid"))
    shown = rootless(*RUN, images.busybox, "cat", "/proc/self/uid_map").stdout
    assert shown.split() == ["0", str(pwd.getpwnam(USER).pw_uid), "1"]


def test_without_access_to_fuse_the_kernels_overlay_is_used(place, images):
    rootless = place(*PRIVATE_FUSE)
    assert rootless(*RUN, images.busybox, "echo", "fine").stdout == "fine\n"
    asked = {"ROOTLESS_STORAGE_DRIVER": "fuse-overlayfs"}
    assert "/dev/fuse" in rootless.fails(*RUN, images.busybox, "true", env=asked)


def test_a_full_disk_is_one_clear_error(place, images):
    store = tempfile.mkdtemp(prefix="rootless-full-", dir="/var/tmp")
    uid = pwd.getpwnam(USER).pw_uid
    small = f"mount -t tmpfs -o size=2m,mode=700,uid={uid} tmpfs {store}"
    try:
        said = place(small, store=store).fails("pull", "-q", images.layered)
        assert "full" in said and len(said.strip().splitlines()) <= 3
    finally:
        os.rmdir(store)
