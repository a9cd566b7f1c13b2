"""``manifest``: an index made by hand, from stored images and from a registry, pushed and run."""

from __future__ import annotations

import json

from tests.support import oci


def members(store, name):
    document = json.loads(store("manifest", "inspect", name).stdout)
    return [
        (each["platform"]["os"], each["platform"]["architecture"], each["platform"].get("variant"))
        for each in document["manifests"]
    ]


def test_an_index_is_put_together_pushed_and_pulled(fresh_rootless, new_store, images):
    store = fresh_rootless
    store("pull", "-q", images.busybox)
    foreign = json.loads(store("manifest", "inspect", images.busybox_index).stdout)["manifests"]
    assert len(foreign) == 2  # of the registry: nothing of it is stored

    first = store("manifest", "create", "list", images.busybox).stdout.strip()
    here = oci.host_architecture()
    other = "arm64" if here == "amd64" else "amd64"
    second = store("manifest", "add", "list", images.foreign).stdout.strip()
    assert first != second
    assert members(store, "list") == [("linux", here, None), ("linux", other, None)]
    assert "exists already" in store.fails("manifest", "create", "list")
    assert len(store("images", "-q").stdout.split()) == 2  # busybox and the index

    store("manifest", "annotate", "list", images.busybox, "--variant", "v9", "--annotation", "a=b")
    store("manifest", "annotate", "list", "--index", "--annotation", "c=d")
    document = json.loads(store("manifest", "inspect", "list").stdout)
    assert document["annotations"] == {"c": "d"}
    assert document["manifests"][0]["annotations"] == {"a": "b"}
    store("manifest", "annotate", "list", images.busybox, "--variant", "v1")

    target = f"{images.registry.address}/by-hand:1"
    store("manifest", "push", "-q", "--purge", "list", target)
    assert store("manifest", "exists", "list", check=False).exit_code == 1
    pulled = new_store()
    line = ("run", "--rm", "--network", "none", target, "uname")
    assert pulled(*line).stdout == "Linux\n"
    platform = ("--platform", f"linux/{other}")
    pulled("pull", "-q", *platform, target)
    assert store("system", "check").exit_code == 0


def test_every_member_of_another_index_can_be_added_and_removed(fresh_rootless, images):
    store = fresh_rootless
    assert store("manifest", "exists", "all", check=False).exit_code == 1
    store("manifest", "create", "all")
    store("manifest", "add", "--all", "all", f"docker://{images.busybox_index}")
    assert sorted(each[1] for each in members(store, "all")) == ["amd64", "arm64"]
    assert store("manifest", "exists", "all").exit_code == 0
    assert store("run", "--rm", "--network", "none", "all", "echo", "1").stdout == "1\n"
    digest = json.loads(store("manifest", "inspect", "all").stdout)["manifests"][0]["digest"]
    store("manifest", "remove", "all", digest)
    assert len(members(store, "all")) == 1
    assert "is not in all" in store.fails("manifest", "remove", "all", digest)
    assert "Untagged:" in store("manifest", "rm", "all").stdout
    assert store("images", "-q").stdout == ""
    assert store("system", "check").stdout == "Clean: nothing is stored\n"


def test_what_is_wrong_is_said(fresh_rootless, images):
    store = fresh_rootless
    store("pull", "-q", images.busybox)
    assert "no index nothing" in store.fails("manifest", "add", "nothing", images.busybox)
    assert "not an index" in store.fails("manifest", "add", images.busybox, images.busybox)
    assert "is no index" in store.fails("manifest", "push", images.busybox)
    store("manifest", "create", "list", images.busybox)
    assert "not an annotation" in store.fails(
        "manifest", "annotate", "--index", "list", "--annotation", "x"
    )
    assert "has no platform" in store.fails("manifest", "annotate", "--index", "list", "--os", "x")
    assert "or --index" in store.fails("manifest", "annotate", "list")
