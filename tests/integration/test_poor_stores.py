"""A store on a file system like those of other machines: no files of other ids, perhaps no attributes.

bindfs, run by the caller, is one: it may give a file to nobody else, just as the server of an NFS would not.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support.waiting import wait_until

RUN = ("run", "--rm", "--network", "none")
pytestmark = pytest.mark.usefixtures("needs_bindfs", "needs_fuse", "needs_subids")


@pytest.fixture
def poor_home(new_store, tmp_path):
    """Make a rootless whose store lies on a bindfs with these options."""
    mounted = []

    def make(*options):
        behind, home = tmp_path / "behind", tmp_path / "home"
        behind.mkdir()
        home.mkdir()
        command = ["bindfs", "-f", "--no-allow-other", *options, str(behind), str(home)]
        mounted.append((subprocess.Popen(command), home))
        wait_until(lambda: os.path.ismount(home), "bindfs mounts")
        rootless = new_store()
        rootless.environment["ROOTLESS_HOME"] = str(home / "store")
        return rootless

    yield make
    for process, home in mounted:
        subprocess.run(["fusermount3", "-u", "-z", str(home)], check=True)
        process.wait(timeout=30)


def test_owners_are_emulated_where_the_store_takes_none(poor_home, images, tmp_path):
    rootless = poor_home()
    said = rootless(*RUN, images.busybox, "cat", "/proc/self/uid_map")
    assert said.stdout.split() == ["0", str(os.getuid()), "1"]
    assert "takes no files of subordinate ids" in said.stderr
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.busybox}\nRUN touch /x && chown 33:7 /x\nRUN test $(stat -c %u /x) = 33\n"
    )
    rootless("build", "-q", "--network=none", "-t", "built", str(tmp_path))
    assert "built" in rootless("images").stdout
    checks = json.loads(rootless("doctor", "--registry=none", "--json", check=False).stdout)[
        "checks"
    ]
    (ids,) = [each for each in checks if each["name"] == "ids"]
    assert "takes no files of subordinate ids" in ids["why"]
    assert "ROOTLESS_HOME" in ids["remedy"] and ids["who"] == "you"


def test_without_attributes_it_is_said_before_anything_is_stored(poor_home, images, tmp_path):
    rootless = poor_home("--xattr-none")
    said = rootless("pull", "-q", images.busybox).stderr
    assert "keeps no extended attributes" in said and "ROOTLESS_HOME" in said
    assert rootless(*RUN, images.busybox, "echo", "fine").stdout == "fine\n"
    (tmp_path / "Dockerfile").write_text(f"FROM {images.busybox}\nRUN touch /x && chown 33:7 /x\n")
    said = rootless("build", "-q", "--network=none", str(tmp_path), check=False)
    if said.exit_code:  # an owner that cannot be kept anywhere is not left out silently
        assert "keeps no extended attributes" in said.stderr and "ROOTLESS_HOME" in said.stderr
