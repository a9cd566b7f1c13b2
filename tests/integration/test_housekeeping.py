"""``info``, ``unshare`` and ``system reset`` against a real store."""

from __future__ import annotations

import json
import os


def test_info_tells_what_was_chosen(rootless):
    facts = json.loads(rootless("info", "--format", "json").stdout)
    assert facts["host"]["user"]["uid"] == os.getuid()
    assert facts["store"]["driver"] in ("overlay", "fuse-overlayfs", "vfs")
    assert (
        rootless("info", "--format", "{{.store.driver}}").stdout.strip() == facts["store"]["driver"]
    )
    assert f"driver: {facts['store']['driver']}" in rootless("info").stdout


def test_unshare_is_root_of_the_user_namespace(rootless):
    assert rootless("unshare", "id", "-u").stdout == "0\n"
    first = rootless("unshare", "cat", "/proc/self/uid_map").stdout.split()
    assert first[:2] == ["0", str(os.getuid())]
    assert rootless("unshare", "sh", "-c", "exit 7", check=False).exit_code == 7
    assert rootless("unshare", "sh", "-c", "kill -9 $$", check=False).exit_code == 137
    assert "no program" in rootless.fails("unshare", "no-such-program", exit_code=127)
    assert "cannot execute" in rootless.fails("unshare", "/etc/passwd", exit_code=126)


def test_reset_removes_everything_whoever_owns_it(fresh_rootless, images):
    rootless = fresh_rootless
    rootless("pull", "-q", images.busybox)
    rootless(
        "run", "-d", "--name", "busy", images.busybox, "sh", "-c", "chown 7:7 /home; sleep 1000"
    )
    assert "nobody is there" in rootless.fails("system", "reset")
    rootless("system", "reset", "--force")
    for root in ("data", "cache", "run"):
        assert not os.path.exists(f"{rootless.home}/{root}")
    assert rootless("ps", "-aq").stdout == ""


def test_reset_works_on_a_store_that_cannot_be_opened(fresh_rootless):
    fresh_rootless("images")
    with open(f"{fresh_rootless.home}/data/layout-version", "w") as file:
        file.write("99\n")
    assert "newer rootless" in fresh_rootless.fails("images")
    fresh_rootless("system", "reset", "-f")
    fresh_rootless("images")
