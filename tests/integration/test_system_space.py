"""``system df`` says what is where; ``system prune`` removes what nothing uses, and only that."""

from __future__ import annotations

import json
import os

import pytest


@pytest.fixture(scope="module")
def store(new_store, images, tmp_path_factory):
    """A running and an ended container, a mounted and a loose volume, and a build."""
    rootless = new_store()
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(
        f"FROM {images.busybox}\nRUN --mount=type=cache,target=/c head -c 100000 /dev/zero >/c/x\n"
    )
    rootless("build", "-q", "-t", "built", str(context))
    script = "head -c 3000000 /dev/zero >/v/x; head -c 2000000 /dev/zero >/y; sleep 1000"
    none = ("--network", "none")
    argv = ("run", "-d", "--name", "busy", *none, "-v", "used:/v", images.busybox)
    rootless(*argv, "sh", "-c", f"{script} & wait")
    rootless("run", "--name", "ended", *none, "--label", "keep=1", images.busybox, "true")
    rootless("volume", "create", "loose")
    rootless("network", "create", "nobody")
    yield rootless
    rootless("rm", "-f", "busy")


def lines(store) -> dict[str, dict[str, object]]:
    found = json.loads(store("system", "df", "--format", "json").stdout)
    return {each["Type"]: each for each in found}


def test_df_counts_and_measures(store):
    table = store("system", "df").stdout.splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert len(table) == 5
    found = lines(store)
    counts = {kind: (each["TotalCount"], each["Active"]) for kind, each in found.items()}
    assert counts == {
        "Images": ("2", "1"),
        "Containers": ("2", "1"),
        "Local Volumes": ("2", "1"),
        "Build Cache": ("2", "0"),  # a step and a cache mount
    }
    assert found["Images"]["RawSize"] > 1_000_000
    assert found["Build Cache"]["RawSize"] >= 100_000
    one = store("system", "df", "--format", "{{.Type}}={{.Active}}").stdout.splitlines()[1]
    assert one == "Containers=1"


def test_every_command_says_the_same_of_what_a_container_has_written(fresh_rootless, images):
    rootless, busybox = fresh_rootless, images.busybox
    script = "head -c 100000 /dev/zero >/a; ln /a /b; mkdir -m 0 /c; echo c >/c/c; chown 5 /c"
    rootless("run", "--name", "wrote", "--network", "none", busybox, "sh", "-c", script)
    size = ("inspect", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "wrote")
    written, total = map(int, rootless(*size).stdout.split())
    assert 100_002 <= written < 110_000
    [shown] = json.loads(rootless("ps", "-as", "--filter", "name=wrote", "--format", "json").stdout)
    assert shown["Size"] == {"rwSize": written, "rootFsSize": total}
    detail = json.loads(rootless("system", "df", "-v", "--format", "json").stdout)
    assert {each["Size"] for each in detail["Containers"] if each["Names"] == "wrote"} == {written}
    freed = rootless(
        "container",
        "prune",
        "-f",
    ).stdout.splitlines()[-1]
    assert freed == "Total reclaimed space: 100kB"


def test_df_tells_details(store):
    said = store("system", "df", "-v").stdout
    for title in ("Images space", "Containers space", "Local Volumes space", "Build cache usage"):
        assert title in said
    detail = json.loads(store("system", "df", "-v", "--format", "json").stdout)
    assert {each["Name"]: each["Links"] for each in detail["Volumes"]} == {"used": 1, "loose": 0}
    given = ("--format", "{{range .Volumes}}{{.Name}}={{.Links}} {{end}}{{len .Images}}")
    assert store("system", "df", "-v", *given).stdout == "loose=0 used=1 2\n"
    built = next(each for each in detail["Images"] if each["Repository"] == "built")
    assert built["SharedSize"] + built["UniqueSize"] == built["Size"]
    assert built["SharedSize"] > 1_000_000


def test_prune_asks_and_refuses_filters_it_cannot_apply(store):
    said = store.fails("system", "prune")
    assert "all containers that do not run" in said
    assert "nobody is there" in said
    assert "cannot be pruned by their age" in store.fails(
        "system", "prune", "-f", "--volumes", "--filter", "until=1h"
    )
    assert "by until or label" in store.fails("system", "prune", "-f", "--filter", "name=x")


def test_prune_removes_what_nothing_uses_and_keeps_the_rest(store, images):
    store("system", "prune", "-f", "--filter", "label!=keep")
    assert "ended" in store("ps", "-a").stdout
    store("system", "prune", "-f", "--filter", "until=1h")
    assert "ended" in store("ps", "-a").stdout
    store("network", "create", "nobody")

    said = store("system", "prune", "-f").stdout
    assert "Deleted Containers:" in said
    assert "Deleted Networks:\nnobody" in said
    assert "Total reclaimed space:" in said
    assert store("ps", "-a", "--format", "{{.Names}}").stdout == "busy\n"
    assert "built" in store("images").stdout
    assert "loose" in store("volume", "ls").stdout
    assert lines(store)["Build Cache"]["TotalCount"] == "2"

    said = store("system", "prune", "-f", "-a", "--volumes").stdout
    assert "Deleted Volumes:\nloose" in said
    assert "built:latest" in said
    names = store("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert names == [images.busybox]
    assert store("volume", "ls", "-q").stdout.split() == ["used"]
    assert lines(store)["Build Cache"]["RawSize"] == 0
    assert os.listdir(f"{store.home}/data/scratch") == []
    assert store("exec", "busy", "ls", "/v").stdout == "x\n"
    assert store("system", "check").stdout.startswith("Clean")
