"""Places that lack something: the next best way is taken, and what is lost is said once."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import places

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def path_without(tmp_path):
    """A PATH on which everything is but some programs."""

    return lambda *names: places.path_without(str(tmp_path / "bin"), *names)


def test_without_newuidmap_there_is_a_single_id(fresh_rootless, images, path_without):
    env = {"PATH": path_without("newuidmap", "newgidmap")}
    fresh_rootless("pull", "-q", images.layered, env=env)
    line = ("cat", "/proc/self/uid_map")
    first = fresh_rootless(*RUN, images.layered, *line, env=env)
    assert first.stdout.split() == ["0", str(os.getuid()), "1"]
    assert "newuidmap" in first.stderr
    # Said once a store, not once a command.
    assert fresh_rootless(*RUN, images.layered, *line, env=env).stderr == ""
    build = fresh_rootless(
        *RUN, images.layered, "sh", "-c", "cat /owned; stat -c %a /owned", env=env
    )
    assert build.stdout == "owned\n640\n"


def test_without_fuse_overlayfs_another_driver_is_taken(fresh_rootless, images, path_without):
    env = {"PATH": path_without("fuse-overlayfs")}
    assert fresh_rootless(*RUN, images.busybox, "echo", "fine", env=env).stdout == "fine\n"
    asked = {**env, "ROOTLESS_STORAGE_DRIVER": "fuse-overlayfs"}
    assert "fuse-overlayfs" in fresh_rootless.fails(*RUN, images.busybox, "true", env=asked)


def test_without_a_network_helper_the_error_says_what_to_do(fresh_rootless, images, path_without):
    env = {"PATH": path_without("pasta", "slirp4netns", "passt")}
    fresh_rootless("pull", "-q", images.busybox)
    result = fresh_rootless("run", "--rm", images.busybox, "true", env=env, check=False)
    assert "pasta" in result.stderr or "slirp4netns" in result.stderr
    assert fresh_rootless(*RUN, images.busybox, "echo", "fine", env=env).stdout == "fine\n"


@pytest.mark.parametrize("value", [None, "", "/nonexistent/runtime", "/"])
def test_without_a_runtime_directory(fresh_rootless, images, value):
    """ROOTLESS_HOME brings a run directory of its own, so the XDG places are used here."""
    environment = fresh_rootless.environment
    home = environment.pop("ROOTLESS_HOME")
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        environment[name] = f"{home}/{name.lower()}"
    environment.pop("XDG_RUNTIME_DIR", None)
    if value is not None:
        environment["XDG_RUNTIME_DIR"] = value
    try:
        result = fresh_rootless(*RUN, images.busybox, "echo", "fine")
        assert result.stdout == "fine\n"
        assert "Warning" not in result.stderr
    finally:
        subprocess.run(["rm", "-rf", f"/tmp/rootless-{os.getuid()}"], check=True)


def test_a_runtime_directory_of_somebody_else_is_refused(fresh_rootless):
    environment = fresh_rootless.environment
    environment.pop("ROOTLESS_HOME")
    shared = f"/tmp/rootless-{os.getuid()}"
    subprocess.run(["rm", "-rf", shared], check=True)
    os.symlink("/tmp", shared)
    try:
        environment.pop("XDG_RUNTIME_DIR", None)
        environment["XDG_DATA_HOME"] = f"{fresh_rootless.home}/data"
        assert shared in fresh_rootless.fails("ps")
    finally:
        os.unlink(shared)


def test_inside_the_user_namespace_of_another_container(needs_subids, fresh_rootless, images):
    """Root of a namespace with many ids: maps are written directly, there is no newuidmap."""
    fresh_rootless.command = (
        "unshare",
        "--user",
        "--map-root-user",
        "--map-auto",
        *fresh_rootless.command,
    )
    result = fresh_rootless(*RUN, images.busybox, "sh", "-c", "id -u; cat /proc/self/uid_map")
    assert result.stdout.splitlines()[0] == "0"


def test_inside_a_user_namespace_with_one_id(fresh_rootless, images):
    fresh_rootless.command = ("unshare", "--user", "--map-root-user", *fresh_rootless.command)
    assert fresh_rootless(*RUN, images.busybox, "id", "-u").stdout == "0\n"


def test_inside_a_user_namespace_as_nobody_special(fresh_rootless, images):
    """The caller is uid 1000 or so inside, too, without capabilities."""
    fresh_rootless.command = ("unshare", "--user", "--map-current-user", *fresh_rootless.command)
    assert fresh_rootless(*RUN, images.busybox, "id", "-u").stdout == "0\n"


def test_without_a_delegated_cgroup_nothing_is_lost_but_limits(fresh_rootless, images):
    """In a mount namespace where the view of cgroups is an empty directory."""
    hide = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    fresh_rootless.command = (
        *("unshare", "--user", "--mount", "--map-root-user", "--map-auto", "sh", "-c", hide, "sh"),
        *fresh_rootless.command,
    )
    assert fresh_rootless(*RUN, images.busybox, "echo", "fine").stdout == "fine\n"
    said = fresh_rootless.fails(*RUN, "--memory", "64m", images.busybox, "true")
    assert "memory" in said
    text = f"FROM {images.busybox}\nRUN true"
    said = fresh_rootless.fails("build", "--memory", "64m", "-", stdin=text)
    assert "cannot enforce --memory" in said
    assert "best-effort" not in said
    fresh_rootless("build", "-", stdin=text)


def test_where_user_namespaces_are_used_up_the_error_names_the_limit(fresh_rootless, images):
    """The limit counts in the namespace where it is set, so a test can lower it for itself."""
    fresh_rootless("pull", "-q", images.busybox)
    lower = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    fresh_rootless.command = (
        *("unshare", "--user", "--map-root-user", "sh", "-c", lower, "sh"),
        *fresh_rootless.command,
    )
    said = fresh_rootless.fails(*RUN, images.busybox, "true")
    assert "user namespace" in said and "max_user_namespaces" in said
