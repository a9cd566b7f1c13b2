"""``events``: every change is written down by whoever made it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def eventful(rootless, busybox):
    """A container that was born, worked, and is gone."""
    name = "eventful"
    rootless(
        *("run", "-d", "--name", name, "--network", "none", "--label", "kind=seen"),
        *("--health-cmd", "true", "--health-interval", "0.1s", busybox, "sleep", "1000"),
    )
    healthy = ("inspect", "-f", "{{.State.Health.Status}}", name)
    wait_until(lambda: rootless(*healthy).stdout == "healthy\n", what="a healthy container")
    rootless("exec", name, "sh", "-c", "exit 3", check=False)
    rootless("kill", "-s", "HUP", name)
    rootless("stop", "-t", "0", name)
    rootless("rename", name, f"{name}-2")
    rootless("rm", f"{name}-2")
    return name


def _events(rootless, *options: str) -> list[dict[str, object]]:
    shown = rootless("events", "--no-stream", "--format", "json", *options).stdout
    return [json.loads(line) for line in shown.splitlines()]


def test_a_life_is_told_from_birth_to_end(rootless, eventful):
    [first, *_] = _events(rootless, "--filter", f"container={eventful}")
    told = _events(rootless, "--filter", f"container={first['id']}")
    assert [each["Action"] for each in told if each["Action"] != "health_status"] == [
        "create", "start", "exec", "exec_died", "kill", "died", "stop", "rename", "remove",
    ]  # fmt: skip
    by_action = {each["Action"]: each["Actor"]["Attributes"] for each in told}
    assert by_action["exec_died"]["containerExitCode"] == "3"
    assert by_action["died"]["containerExitCode"] == "137"
    assert by_action["health_status"]["health_status"] == "healthy"
    assert (by_action["remove"]["name"], by_action["remove"]["kind"]) == ("eventful-2", "seen")
    times = [each["timeNano"] for each in told]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["label=kind=seen", "event=start"], {"start"}),
        (["label=kind=seen", "event=die", "event=destroy"], {"died", "remove"}),
        (["label=kind=other"], set()),
        (["label=kind=seen", "type=image"], set()),
        (["container=eventful", "event=create", "type=container"], {"create"}),
    ],
)
def test_filters(rootless, eventful, filters, expected):
    options = [word for each in filters for word in ("--filter", each)]
    assert {each["status"] for each in _events(rootless, *options)} == expected


def test_images_networks_and_volumes(rootless, busybox, tmp_path):
    rootless("tag", busybox, "seen:1")
    rootless("rmi", "seen:1")
    rootless("network", "create", "seen")
    rootless("network", "rm", "seen")
    rootless("volume", "create", "seen")
    rootless("volume", "rm", "seen")

    def actions(kind: str, *options: str) -> list[object]:
        return [each["Action"] for each in _events(rootless, "--filter", f"type={kind}", *options)]

    rootless("tag", busybox, "alone:1")
    rootless("save", "-o", str(tmp_path / "saved.tar"), "alone:1")
    rootless("load", "-i", str(tmp_path / "saved.tar"))
    by_path = [
        each["Action"]
        for each in _events(rootless)
        if each["Actor"]["Attributes"].get("name") == str(tmp_path / "saved.tar")
    ]
    assert by_path == ["save", "loadfromarchive"]
    assert actions("image", "--filter", "event=load") == ["loadfromarchive"]
    assert actions("image", "--filter", "image=seen") == ["tag", "untag"]
    assert "pull" in actions("image", "--filter", f"image={busybox}")
    assert actions("network", "--filter", "network=seen") == ["create", "remove"]
    assert actions("volume", "--filter", "volume=seen") == ["create", "remove"]


def test_images_go_with_their_names(rootless, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = rootless("build", "-q", "-t", "going:1", str(tmp_path)).stdout.strip()
    rootless("tag", "going:1", "going:2")
    rootless("rmi", "-f", image)
    told = _events(rootless, "--filter", "type=image", "--filter", f"image={image}")
    actions = [
        (each["Action"], each["Actor"]["Attributes"].get("name", "").rpartition("/")[2])
        for each in told
    ]
    assert actions[:2] == [("build", "going:1"), ("tag", "going:2")]
    assert [each for each, _ in actions[2:]] == ["untag", "untag", "remove"]
    assert {name for _, name in actions[2:4]} == {"going:1", "going:2"}


def test_volumes_that_nobody_created_by_hand(rootless, busybox):
    """As podman: made by ``-v``, made without a name, and gone with their container or by prune."""
    before = len(_events(rootless, "--filter", "type=volume"))
    rootless(
        "run", "--rm", "--network", "none", "-v", "told:/v", "-v", "/anonymous", busybox, "true"
    )
    told = _events(rootless, "--filter", "type=volume")[before:]
    name = next(each["Actor"]["ID"] for each in told if each["Actor"]["ID"] != "told")
    assert [(each["Action"], each["Actor"]["ID"]) for each in told] == [
        ("create", "told"), ("create", name), ("remove", name),
    ]  # fmt: skip
    rootless("create", "--name", "keeps", "-v", "/anonymous", busybox)
    rootless("rm", "keeps")
    rootless("volume", "prune", "-f")
    rootless("volume", "import", "filled", "-", stdin=b"\0" * 1024)
    rootless("volume", "rm", "told", "filled")
    told = _events(rootless, "--filter", "type=volume")[before + 3 :]
    assert [each["Action"] for each in told] == ["create", "remove", "create", "remove", "remove"]


def test_who_comes_to_a_network_and_leaves_it(rootless, busybox):
    rootless("network", "create", "meeting")
    rootless("create", "--name", "guest", "--network", "none", busybox)
    rootless("network", "connect", "meeting", "guest")
    rootless("network", "disconnect", "meeting", "guest")
    rootless("rm", "guest")
    rootless("network", "rm", "meeting")
    told = _events(rootless, "--filter", "network=meeting")
    assert [each["Action"] for each in told] == ["create", "connect", "disconnect", "remove"]
    assert told[1]["Actor"]["Attributes"]["containerName"] == "guest"


def test_times_bound_what_is_shown(rootless, eventful):
    assert _events(rootless, "--until", "1h") == []
    assert len(_events(rootless, "--since", "1h")) == len(_events(rootless))
    line = rootless("events", "--no-stream", "--filter", "event=start").stdout.splitlines()[0]
    assert " container start " in line
    assert line.endswith(")")
    # With an end in the past nothing is waited for.
    assert rootless("events", "--since", "1h", "--until", "1s", timeout_s=20).exit_code == 0
    template = ("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")
    shown = rootless("events", "--no-stream", *template, "--filter", "event=rename").stdout
    assert "container rename eventful-2\n" in shown
    assert "unknown filter" in rootless.fails("events", "--filter", "colour=red")


def test_what_happens_is_told_at_once(rootless, busybox):
    watching = rootless.start(
        "events",
        "--filter",
        "container=watched",
        "--format",
        "{{.Action}}",
        stdin=subprocess.DEVNULL,
    )
    try:
        before = _events(rootless, "--filter", "container=watched")
        assert before == []
        while True:  # until it listens
            rootless("run", "--rm", "--name", "watched", "--network", "none", busybox, "true")
            if _readable(watching.stdout):
                break
        assert watching.stdout.readline() in (b"create\n", b"start\n", b"died\n", b"remove\n")
    finally:
        watching.kill()
        watching.communicate()


def _readable(stream) -> bool:
    import select

    return bool(select.select([stream], [], [], 2)[0])
