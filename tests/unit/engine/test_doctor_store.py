"""Which file system a store lies on, and what that means."""

from __future__ import annotations

import pytest

from rootless.engine import doctor_store
from rootless.engine.doctor_store import MountPoint, mount_of
from rootless.paths import Paths

MOUNTS = """\
20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
21 20 0:21 / /tmp rw,nosuid,noexec shared:1 - tmpfs tmpfs rw
22 20 0:22 / /usr/share/with\\040blank ro master:2 - squashfs none ro
23 20 0:23 / /usr rw - nfs4 server:/usr rw
24 23 0:24 / /usr rw,noexec - lustre lake rw
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc/passwd", MountPoint("/", "ext4", ("rw", "relatime"))),
        ("/tmp/not/there/yet", MountPoint("/tmp", "tmpfs", ("rw", "nosuid", "noexec"))),
        ("/usr/bin", MountPoint("/usr", "lustre", ("rw", "noexec"))),  # the one on top
    ],
)
def test_the_mount_of_a_path(path, found):
    assert mount_of(path, MOUNTS) == found


def test_a_store_on_a_network_is_said_with_the_remedy(monkeypatch, tmp_path):
    paths = Paths(*(str(tmp_path / name) for name in ("data", "cache", "run", "config")))
    assert doctor_store.network_store(paths) == ""
    monkeypatch.setattr(
        doctor_store, "_mountinfo", lambda: MOUNTS.replace("ext4", "nfs4").replace("/tmp", "/tnt")
    )
    said = doctor_store.network_store(paths)
    assert "lies on nfs4" in said
    assert "ROOTLESS_HOME" in said
