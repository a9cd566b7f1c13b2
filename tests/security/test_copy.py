"""``cp`` against a container that plants links, and swaps them while it is copied (row 9)."""

from __future__ import annotations

import os

import pytest

from tests.support.waiting import wait_until

SECRET = "only on the host\n"


@pytest.fixture
def hostile(rootless, busybox, tmp_path):
    """A container whose program swaps a directory with a link to the host's, without end."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    script = (
        f"mkdir -p /a{outside} /dir; echo inside >/dir/secret; echo inside >/a{outside}/secret;"
        f" ln -s {outside} /link; ln -s ../../../../../../../..{outside} /up; ln -s /proc/self/root /magic;"
        f" ln -s {outside} /dir/down; touch /ready;"
        f" while :; do rm -rf /dir; ln -s {outside} /dir; rm -f /dir; mkdir -p /dir;"
        " echo inside >/dir/secret; usleep 5000; done"
    )
    name = f"hostile-{os.getpid()}"
    rootless("run", "-d", "--name", name, "--network", "none", busybox, "sh", "-c", script)
    wait_until(
        lambda: rootless("exec", name, "test", "-e", "/ready", check=False).exit_code == 0,
        what="the links",
    )
    yield name, outside
    rootless("rm", "-f", "-t", "0", name)


def test_row_9_links_lead_nowhere_outside(rootless, hostile, tmp_path):
    name, outside = hostile
    for planted in ("link", "up", "magic" + str(outside)):
        said = rootless("cp", f"{name}:/{planted}/secret", f"{tmp_path}/got", check=False)
        assert said.exit_code != 0, planted
        assert not os.path.exists(f"{tmp_path}/got")
    (tmp_path / "mine").write_text("mine\n")
    for planted in ("link", "up", "magic" + str(outside)):
        rootless("cp", f"{tmp_path}/mine", f"{name}:/{planted}/secret", check=False)
        rootless("cp", f"{tmp_path}/mine", f"{name}:/{planted}/", check=False)
    assert (outside / "secret").read_text() == SECRET
    assert os.listdir(outside) == ["secret"]


def test_row_9_races_lead_nowhere_outside(rootless, hostile, tmp_path):
    name, outside = hostile
    (tmp_path / "mine").write_text("mine\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "secret").write_text("mine\n")
    arrived = 0
    for number in range(15):
        target = f"{tmp_path}/out-{number}"
        arrived += not rootless("cp", f"{name}:/dir", target, check=False).exit_code
        for root, _, names in os.walk(target):
            for each in () if os.path.islink(target) else names:
                if not os.path.islink(f"{root}/{each}"):
                    with open(f"{root}/{each}") as file:
                        assert file.read() != SECRET
        rootless("cp", f"{tmp_path}/mine", f"{name}:/dir/secret", check=False)
        rootless("cp", f"{tmp_path}/tree/.", f"{name}:/dir", check=False)
    assert arrived, "the race was never won by us either"
    assert (outside / "secret").read_text() == SECRET
    assert os.listdir(outside) == ["secret"]


def test_row_9_what_is_copied_out_is_not_followed_on_the_host(rootless, busybox, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    script = f"mkdir /tree; ln -s {outside} /tree/link; touch /evil; chmod 6755 /evil"
    rootless("run", "--name", "tree", "--network", "none", busybox, "sh", "-c", script)
    for _ in range(2):  # the second copy meets the link of the first
        rootless("cp", "tree:/tree", f"{tmp_path}/out")
    assert os.listdir(outside) == []
    assert os.path.islink(f"{tmp_path}/out/link")
    rootless("cp", "tree:/evil", f"{tmp_path}/evil")
    assert os.stat(f"{tmp_path}/evil").st_mode & 0o6000 == 0
    rootless("rm", "tree")
