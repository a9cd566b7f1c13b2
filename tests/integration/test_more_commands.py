"""``ps --size --sort``, ``rm --depend --time``, ``wait --condition``, ``logs`` of several, log drivers."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.waiting import wait_until


@pytest.fixture
def several(rootless, busybox):
    """Three containers that write and sleep; removed at the end."""
    names = ["sev-a", "sev-b", "sev-c"]
    for size, name in zip((3000, 1000, 2000), names, strict=True):
        script = (
            f"head -c {size} /dev/zero >/root/f; echo {name}; echo err-{name} >&2; exec sleep 1000"
        )
        rootless("run", "-d", "--name", name, "--network", "none", busybox, "sh", "-c", script)
    for name in names:
        wait_until(lambda n=name: f"err-{n}" in rootless("logs", n).stderr, what="its lines")
    yield names
    rootless("rm", "-f", "-i", "-t", "0", *names)


def test_ps_counts_and_sorts(rootless, several):
    def shown(*options: str) -> list[str]:
        return rootless("ps", "--filter", "name=^sev-", *options).stdout.splitlines()

    heading, *lines = shown("--size")
    assert heading.rstrip().endswith("SIZE")
    assert all("kB (virtual " in line for line in lines)
    names = ("--format", "{{.Names}}")
    assert shown("--sort", "size", *names) == ["sev-b", "sev-c", "sev-a"]
    assert shown("--sort", "names", *names) == ["sev-a", "sev-b", "sev-c"]
    assert shown("--sort", "created", *names) == ["sev-c", "sev-b", "sev-a"]
    documents = json.loads(rootless("ps", "--size", "--format", "json").stdout)
    [document] = [each for each in documents if each["Names"] == ["sev-a"]]
    assert document["Size"]["rwSize"] == 3000
    assert document["Size"]["rootFsSize"] > 500_000
    assert "colour" in rootless.fails("ps", "--sort", "colour")


def test_logs_of_several_come_in_the_order_of_time(rootless, several):
    logs = rootless("logs", *several)
    assert logs.stdout.splitlines() == several
    assert rootless("logs", "--names", "sev-b", "sev-a").stdout == "sev-a sev-a\nsev-b sev-b\n"
    assert [
        line.split(" ")[1] for line in rootless("logs", "-t", *several).stderr.splitlines()
    ] == [f"err-{name}" for name in several]


def test_logs_of_several_are_followed_to_their_ends(rootless, several):
    following = rootless.start("logs", "-f", "--names", "sev-a", "sev-b")
    for name in ("sev-a", "sev-b"):
        rootless("stop", "-t", "0", name)
    out, err = following.communicate(timeout=60)
    assert sorted(out.splitlines()) == [b"sev-a sev-a", b"sev-b sev-b"]
    assert sorted(err.splitlines()) == [b"sev-a err-sev-a", b"sev-b err-sev-b"]
    assert following.returncode == 0


def test_rm_gives_time_to_stop_when_asked(rootless, busybox, tmp_path):
    script = "trap 'echo asked >/data/asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    for seconds in ("0", "20"):
        rootless(
            *("run", "-d", "--name", "timed", "--network", "none", "-v", f"{tmp_path}:/data"),
            *(busybox, "sh", "-c", script),
        )
        wait_until(lambda: "ready" in rootless("logs", "timed").stdout, what="a trap")
        rootless("rm", "-f", "-t", seconds, "timed")
        assert os.path.exists(f"{tmp_path}/asked") == (seconds == "20")
    assert "needs --force" in rootless.fails("rm", "-t", "1", "timed")


def test_rm_with_what_depends_on_it(rootless, busybox):
    rootless("run", "-d", "--name", "base-c", "--network", "none", busybox, "sleep", "1000")
    shared = ("--network", "container:base-c")
    rootless("run", "-d", "--name", "on-base", *shared, busybox, "sleep", "1000")
    rootless("create", "--name", "on-on", "--network", "container:on-base", busybox, "true")
    rootless("create", "--name", "alone", "--network", "none", busybox, "true")
    removed = rootless("rm", "-f", "--depend", "base-c").stdout.split()
    assert removed == ["on-on", "on-base", "base-c"]
    assert rootless("container", "exists", "alone").exit_code == 0
    rootless("rm", "alone")


def test_wait_for_other_things_than_the_end(rootless, busybox):
    rootless(
        *("run", "-d", "--name", "waited", "--network", "none", "--health-interval", "0.1s"),
        *("--health-cmd", "test -e /root/well", busybox, "sleep", "1000"),
    )
    assert rootless("wait", "--condition", "running", "waited").stdout == "-1\n"
    waiting = rootless.start("wait", "--condition", "healthy", "-i", "0.05", "waited")
    rootless("exec", "waited", "touch", "/root/well")
    assert waiting.communicate(timeout=60)[0] == b"-1\n"
    rootless("rm", "-f", "-t", "0", "waited")
    rootless("run", "-d", "--rm", "--name", "waited", "--network", "none", busybox, "sleep", "3")
    assert rootless("wait", "--condition", "removed", "waited", timeout_s=60).exit_code == 0
    assert rootless("container", "exists", "waited", check=False).exit_code == 1
    rootless("create", "--name", "waited", "--network", "none", busybox, "true")
    assert "unknown condition" in rootless.fails("wait", "--condition", "well", "waited")
    rootless("rm", "waited")


def test_a_log_driver_is_what_it_is_called_or_refused(rootless, busybox):
    rootless(
        *("run", "--name", "silent", "--network", "none", "--log-driver", "none"), busybox, "echo", "x"
    )  # fmt: skip
    assert "log driver is none" in rootless.fails("logs", "silent")
    rootless("rm", "silent")
    for driver, problem in (
        ("journald", "no journal takes messages"),
        ("syslog", "unknown log driver"),
    ):
        if driver == "journald" and os.path.exists("/run/systemd/journal/socket"):
            continue
        said = rootless.fails(
            "run", "-d", "--name", "silent", "--log-driver", driver, busybox, "true"
        )
        assert problem in said
    assert "max-file=no" in rootless.fails("create", "--log-opt", "max-file=no", busybox, "true")
    assert rootless("container", "exists", "silent", check=False).exit_code == 1
