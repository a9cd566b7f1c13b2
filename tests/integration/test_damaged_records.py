"""One damaged record does not keep the others from being listed, and names its remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

LISTS = (
    ("ps", "-a"),
    ("ps", "-a", "--format", "json"),
    ("images",),
    ("volume", "ls"),
    ("system", "df"),
)


def data(rootless) -> Path:
    """Where a store keeps its records."""
    return Path(rootless.home) / "data"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _without_labels(path: Path) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "labels": 7}))


DAMAGES = {
    "empty": lambda path: path.write_text(""),
    "cut": _cut,
    "of another type": lambda path: path.write_text("[]"),
    "without a field": _without_labels,
    "no text": lambda path: path.write_bytes(b"\xff\xfe{}"),
    "nested too deep": lambda path: path.write_text("[" * 100_000),
    "unreadable": lambda path: path.chmod(0),
    "missing": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_container_is_named_and_the_others_are_listed(rootless, busybox, damage):
    made = ("create", "--network", "none", "--name")
    whole = rootless(*made, "whole", "-v", "kept:/v", busybox, "true").stdout.strip()
    hurt = rootless(*made, "hurt", busybox, "true").stdout.strip()
    DAMAGES[damage](data(rootless) / "containers" / hurt / "container.json")
    try:
        for command in LISTS:
            done = rootless(*command)
            assert f"container hurt ({hurt[:12]}) is damaged" in done.stderr, str(done)
            assert f"rootless rm -f {hurt[:12]}" in done.stderr
            assert "Traceback" not in done.stderr
        assert rootless("ps", "-aq", "--no-trunc").stdout.strip() == whole
        assert rootless("inspect", "-f", "{{.Name}}", "whole").stdout == "/whole\n"
        assert rootless("volume", "inspect", "-f", "{{.Containers}}", "kept").stdout == "[whole]\n"
        assert rootless("start", "-a", "whole").exit_code == 0
        for command in ("inspect", "start", "logs", "rm"):
            assert "is damaged" in rootless.fails(command, "hurt")
        # Whatever must know of every container does not guess.
        assert "is damaged" in rootless.fails("volume", "rm", "kept")
        assert (
            rootless("run", "--rm", "--network", "none", "-v", "/v", busybox, "true").stderr == ""
        )
    finally:
        for name in ("hurt", "whole"):
            rootless("rm", "-f", name)
    assert rootless("ps", "-a").stderr == ""
    assert "no container" in rootless.fails("inspect", "--type", "container", "hurt")
    rootless("volume", "rm", "kept")
    rootless("volume", "prune", "-f")


@pytest.mark.parametrize("content", ["", '{"pid', "[]"])
def test_a_container_of_which_nobody_knows_the_process_is_removed(rootless, busybox, content):
    made = ("run", "-d", "--name", "lost", "--network", "none", busybox, "sleep", "1000")
    hurt = rootless(*made).stdout.strip()
    init = int(rootless("inspect", "-f", "{{.State.Pid}}", "lost").stdout)
    Path(rootless.home, "run", "containers", hurt, "state.json").write_text(content)
    assert "lost" in rootless("ps").stdout
    for command in ("stop", "kill", "restart", "top", "pause"):
        said = rootless.fails(command, "lost")
        assert "container lost runs, but " in said, command
        assert f"{hurt}/state.json is damaged" in said
        assert "rootless rm -f lost" in said
    rootless("rm", "-f", "-t", "1", "lost", timeout_s=30)
    wait_until(lambda: not os.path.exists(f"/proc/{init}"), "the end of its process")
    assert rootless("ps", "-aq", "--filter", "name=lost").stdout == ""


def test_all_containers_are_removed_damaged_or_not(fresh_rootless, images):
    run = fresh_rootless
    run("run", "-d", "--name", "runs", "--network", "none", images.busybox, "sleep", "1000")
    hurt = run("inspect", "-f", "{{.Id}}", "runs").stdout.strip()
    run("create", "--name", "other", images.busybox)
    (data(run) / "containers" / hurt / "container.json").write_text("")
    assert "is damaged" in run.fails("rm", "-a")
    assert run("rm", "-fa").stderr == ""
    assert os.listdir(data(run) / "containers") == []


def test_a_damaged_volume_and_a_damaged_network(rootless):
    for name in ("fine", "hurt"):
        rootless("volume", "create", name)
        rootless("network", "create", name)
    (data(rootless) / "volumes" / "hurt" / "volume.json").write_text("{")
    (data(rootless) / "networks" / "hurt.json").write_text('{"name": "hurt"}')
    for kind in ("volume", "network"):
        done = rootless(kind, "ls", "-q")
        assert done.stdout.splitlines()[-1:] == ["fine"] or "fine" in done.stdout.split()
        assert f"the record of {kind} hurt is damaged" in done.stderr
        assert f"the record of {kind} hurt is damaged" in rootless.fails(kind, "inspect", "hurt")
        assert rootless(kind, "inspect", "fine").stderr == ""
        rootless(kind, "rm", "-f", "hurt", "fine")
        assert rootless(kind, "ls").stderr == ""
