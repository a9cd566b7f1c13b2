"""Tiers: a host that lacks something still runs and builds, says what is lost, and can be asked to fail."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.places import WORLDS

BETTER = {"single-id": "full", "shared-proc": "single-id", "shared-network": "shared-proc"}
SAID = {
    "single-id": "single user id",
    "shared-proc": "no new procfs",
    "shared-network": "share the network of the host",
}


@pytest.fixture
def world(needs_subids, fresh_rootless):
    def make(tier):
        fresh_rootless.command = (*WORLDS[tier], *fresh_rootless.command)
        return fresh_rootless

    return make


@pytest.mark.parametrize("tier", WORLDS)
def test_a_lesser_host_runs_and_says_what_is_lost(tier, world, images):
    rootless = world(tier)
    rootless("pull", "-q", images.busybox)
    # The default network, so that its choice is seen, and as little else as possible.
    shown = rootless("run", "--name", "it", images.busybox, "sh", "-c", "id -u; ls /proc/self/fd")
    assert shown.stdout.startswith("0\n")
    assert SAID[tier] in shown.stderr
    assert "id" not in rootless("run", "--rm", images.busybox, "true").stderr  # said once
    assert rootless("inspect", "it", "--format", "{{.Backends.tier}}").stdout == f"{tier}\n"
    facts = json.loads(rootless("info", "--format", "json").stdout)
    assert facts["host"]["tier"]["name"] == tier


@pytest.mark.parametrize("tier", WORLDS)
def test_a_tier_that_is_demanded_is_given_or_the_command_fails(tier, world, images, tmp_path):
    rootless = world(tier)
    rootless("pull", "-q", images.busybox)
    (tmp_path / "Dockerfile").write_text(f"FROM {images.busybox}\nRUN echo built > /built\n")
    for command in (("run", "--rm"), ("build", "-q")):
        rest = (images.busybox, "true") if command[0] == "run" else (str(tmp_path),)
        said = rootless.fails(*command, "--require", BETTER[tier], *rest)
        assert f"only the tier {tier}, not {BETTER[tier]}" in said
        rootless(*command, "--require", tier, *rest)


def test_an_unknown_tier_is_refused(rootless, busybox):
    said = rootless.fails("run", "--rm", "--require", "perfect", busybox, "true")
    assert "'perfect'" in said and "full" in said


def test_a_container_is_not_put_on_the_hosts_network_against_its_word(world, images):
    rootless = world("shared-network")
    rootless("pull", "-q", images.busybox)
    said = rootless.fails("run", "--rm", "--network", "none", images.busybox, "true")
    assert "--network none cannot be enforced" in said
    said = rootless.fails("run", "--rm", "-p", "18080:80", images.busybox, "true")
    assert "cannot publish ports" in said


def test_with_a_masked_sysfs_as_well_that_of_the_host_is_shown_read_only(world, images):
    rootless = world("shared-proc")
    where = rootless.command.index(WORLDS["shared-proc"][-2])
    mask = "mount -t tmpfs -o ro mask /sys/kernel && "
    rootless.command = (
        *rootless.command[:where],
        mask + rootless.command[where],
        *rootless.command[where + 1 :],
    )
    line = "ls /sys/kernel | wc -l; ls -d /sys/class; mkdir /sys/kernel/x"
    shown = rootless("run", "--rm", images.busybox, "sh", "-c", line, check=False)
    assert shown.stdout.split() == ["0", "/sys/class"]
    assert "Read-only file system" in shown.stderr


def test_the_procfs_of_the_outer_container_stays_masked(world, images):
    rootless = world("shared-proc")
    line = "ls /proc/fs | wc -l; ls -d /proc/[0-9]* | wc -l"
    shown = rootless("run", "--rm", images.busybox, "sh", "-c", line).stdout.split()
    assert shown[0] == "0"
    assert int(shown[1]) > 3  # the loss: processes outside are seen
    outside = rootless(
        "run", "--rm", images.busybox, "sh", "-c", f"kill -0 {os.getpid()}", check=False
    )
    assert outside.exit_code != 0  # and cannot be touched
