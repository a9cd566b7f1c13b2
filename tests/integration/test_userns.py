"""Id maps of containers: who is who inside and outside, with the image as it is on disk."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.waiting import wait_until

RUN = ("run", "--rm", "--network", "none")
UID, GID = os.getuid(), os.getgid()
pytestmark = pytest.mark.usefixtures("needs_subids", "needs_fuse")


def inside(rootless, image, *flags, line):
    return rootless(*RUN, *flags, image, "sh", "-c", line).stdout


@pytest.fixture
def mine(tmp_path):
    """A directory that only the caller may enter, with a file of the caller's."""
    directory = tmp_path / "mine"
    directory.mkdir(mode=0o700)
    (directory / "file").write_text("secret")
    (directory / "file").chmod(0o600)
    return directory


def test_keep_id_is_the_caller_by_number_name_and_files(rootless, busybox, mine):
    line = "id -u; id -g; id -un; cat /v/file; echo; touch /v/new /tmp/own; stat -c %u:%g /v/file /bin /tmp/own"
    shown = inside(rootless, busybox, "--userns", "keep-id", "-v", f"{mine}:/v", line=line).split()
    assert shown[:2] == [str(UID), str(GID)]
    assert shown[3] == "secret"
    # The image's files are root's as ever: nothing was shifted.
    assert shown[-3:] == [f"{UID}:{GID}", "0:0", f"{UID}:{GID}"]
    assert (mine / "new").stat().st_uid == UID


def test_keep_id_under_another_number(rootless, busybox, mine):
    flags = ("--userns", "keep-id:uid=33,gid=44", "-v", f"{mine}:/v")
    shown = inside(rootless, busybox, *flags, line="id -u; id -g; touch /v/x; stat -c %u:%g /v/x")
    assert shown.split() == ["33", "44", "33:44"]
    assert (mine / "x").stat().st_uid == UID
    # --user still decides who runs.
    assert inside(rootless, busybox, *flags, "--user", "0", line="id -u") == "0\n"


def test_files_of_the_caller_belong_to_the_user_of_the_image(rootless, images, mine, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images.busybox}\nUSER 4321:55\n")
    image = rootless("build", "-q", str(tmp_path)).stdout.strip()
    line = "id -u; cat /v/file; stat -c %u:%g /v/file"
    shown = inside(rootless, image, "-v", f"{mine}:/v", line=line).split()
    assert shown == ["4321", "secret4321:55"]
    said = rootless(
        *RUN, "--userns", "host", "-v", f"{mine}:/v", image, "cat", "/v/file", check=False
    )
    assert "denied" in said.stderr  # the choice is the caller's


def test_nomap_leaves_the_caller_out(rootless, busybox, mine):
    shown = inside(
        rootless, busybox, "--userns", "nomap", line="cat /proc/self/uid_map; stat -c %u /bin"
    )
    lines = shown.splitlines()
    assert all(line.split()[1] != str(UID) for line in lines[:-1])
    assert lines[-1] == "0"
    refused = rootless(
        *RUN, "--userns", "nomap", "-v", f"{mine}:/v", busybox, "cat", "/v/file", check=False
    )
    assert "denied" in refused.stderr


def test_auto_gives_containers_ids_that_do_not_overlap(rootless, busybox):
    maps = []
    try:
        for name in ("auto-a", "auto-b"):
            rootless("run", "-d", "--name", name, "--network", "none", "--userns", "auto",
                     busybox, "sleep", "60")  # fmt: skip
            shown = rootless("exec", name, "cat", "/proc/1/uid_map").stdout.split()
            maps.append((int(shown[1]), int(shown[2])))
    finally:
        rootless("rm", "-f", "-t", "0", "auto-a", "auto-b")
    (first, size), (second, _) = sorted(maps)
    assert size >= 1024
    assert first + size <= second


def test_custom_maps(rootless, busybox):
    flags = ("--uidmap", "0:1:100", "--uidmap", "1000:0:1", "--gidmap", "0:0:200")
    shown = inside(rootless, busybox, *flags, line="cat /proc/self/uid_map; cat /proc/self/gid_map")
    lines = [line.split() for line in shown.splitlines()]
    assert ["1000", str(UID), "1"] in lines
    assert ["0", str(GID), "1"] in lines
    assert "excludes" in rootless.fails(
        *RUN, "--userns", "keep-id", "--uidmap", "0:0:1", busybox, "id"
    )


def test_a_container_with_its_own_map_is_as_usable_as_any(rootless, busybox, tmp_path):
    rootless("run", "-d", "--name", "kept", "--network", "none", "--userns", "keep-id",
             busybox, "sh", "-c", "echo made > /tmp/made; sleep 60")  # fmt: skip
    try:
        assert rootless("exec", "kept", "id", "-u").stdout == f"{UID}\n"
        wait_until(
            lambda: rootless("exec", "kept", "cat", "/tmp/made", check=False).stdout == "made\n",
            "a file in the container",
        )
        assert str(UID) in rootless("top", "kept", "uid").stdout
        shared = rootless(
            *RUN, "--userns", "container:kept", busybox, "readlink", "/proc/self/ns/user"
        )
        own = rootless("exec", "kept", "readlink", "/proc/self/ns/user")
        assert shared.stdout == own.stdout
        rootless("restart", "-t", "0", "kept")
        assert rootless("exec", "kept", "cat", "/tmp/made").stdout == "made\n"
        found = json.loads(rootless("inspect", "kept").stdout)[0]
        assert found["HostConfig"]["UsernsMode"] == "keep-id"
        assert f"{UID}:{UID}:1" in found["HostConfig"]["IDMappings"]["UidMap"]
    finally:
        rootless("rm", "-f", "-t", "0", "kept")


def test_without_fuse_another_map_is_refused_with_the_reason(fresh_rootless, images, tmp_path):
    directory = tmp_path / "bin"
    directory.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for name in os.listdir(place):
            if name != "fuse-overlayfs" and not (directory / name).is_symlink():
                (directory / name).symlink_to(f"{place}/{name}")
    env = {"PATH": str(directory)}
    fresh_rootless("pull", "-q", images.busybox)
    said = fresh_rootless.fails(*RUN, "--userns", "keep-id", images.busybox, "id", env=env)
    assert "needs fuse-overlayfs" in said


def test_keep_groups_leaves_the_callers_groups_alone(rootless, busybox):
    """A group that is not mapped shows as nobody; with setgroups(2) it would be gone."""
    groups = [each for each in os.getgroups() if each != GID]
    shown = inside(
        rootless, busybox, "--group-add", "keep-groups", line="grep ^Groups /proc/self/status"
    )
    assert len(shown.split()) - 1 >= len(groups)
    if groups:
        assert "65534" in shown
    assert "excludes" in rootless.fails(
        *RUN, "--group-add", "keep-groups", "--group-add", "5", busybox, "id"
    )


@pytest.mark.parametrize("value", ["keep-id:x=1", "pod", "ns:/nonexistent", "container:nobody"])
def test_what_cannot_be_is_refused(value, rootless, busybox):
    said = rootless.fails(*RUN, "--userns", value, busybox, "id")
    assert value.partition(":")[2][:4] in said or value in said
