from __future__ import annotations

import json
import os

import pytest

from rootless.errors import Conflict, ImageRefused, InvalidRequest, NotFound, StoreFailed
from rootless.image import documents, garbage
from rootless.image.digest import chain_ids, digest_of
from rootless.image.documents import to_json
from rootless.image.layout import Layout
from rootless.image.platforms import parse_platform


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "images"))


def descriptor(layout, document, media_type):
    content = document if isinstance(document, bytes) else to_json(document)
    return {"mediaType": media_type, "digest": layout.put_blob(content), "size": len(content)}


def image(layout, *layers: bytes, architecture="amd64", **config):
    described = [descriptor(layout, each, documents.OCI_LAYER) for each in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
        **config,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.OCI_MANIFEST,
        "config": descriptor(layout, config, documents.OCI_CONFIG),
        "layers": described,
    }
    return descriptor(layout, manifest, documents.OCI_MANIFEST)


def test_an_image_is_found_by_every_one_of_its_names(layout):
    stored = image(layout, b"one", b"two")
    layout.tag("docker.io/library/a:latest", stored)
    found = layout.resolve("a")
    assert found.reference == "docker.io/library/a:latest"
    assert found.chain == chain_ids([digest_of(b"one"), digest_of(b"two")])
    assert found.size_bytes == 6
    for name in (
        "docker.io/library/a",
        "a:latest",
        found.image_id,
        found.image_id[7:],
        found.image_id[7:15],
        f"a@{stored['digest']}",
        stored["digest"][7:19],
    ):
        assert layout.resolve(name) == found, name


def test_the_record_gives_what_the_documents_give(layout):
    layout.tag("localhost/a:latest", image(layout, b"one", config={"Env": ["A=ü"]}))
    first = layout.resolve("localhost/a")
    os.rename(f"{layout.path}/blobs", f"{layout.path}/gone")
    assert layout.resolve("localhost/a") == first


def test_an_unqualified_name_finds_a_local_image(layout):
    layout.tag("localhost/mine:1", image(layout))
    assert layout.resolve("mine:1").reference == "localhost/mine:1"
    with pytest.raises(NotFound, match="no image mine:2") as caught:
        layout.resolve("mine:2")
    assert caught.value.hint == "rootless pull mine:2"


def test_an_id_prefix_of_two_images_is_refused(layout):
    for number in range(20):
        layout.tag(f"localhost/a:{number}", image(layout, b"%d" % number))
    by_first_digit: dict[str, set[str]] = {}
    for each in layout.images():
        by_first_digit.setdefault(each.image_id[7], set()).add(each.image_id)
    digit = next(digit for digit, ids in by_first_digit.items() if len(ids) > 1)
    with pytest.raises(InvalidRequest, match="beginning of"):
        layout.resolve(digit)


def test_two_names_of_one_image_are_not_ambiguous(layout):
    stored = image(layout)
    layout.tag("localhost/a:1", stored)
    layout.tag("localhost/a:2", stored)
    assert layout.resolve(layout.resolve("a:1").image_id[7:11]).reference == "localhost/a:1"


def test_a_name_moves_and_leaves_the_old_image_untagged(layout):
    old, new = image(layout, b"old"), image(layout, b"new")
    layout.tag("localhost/a:latest", old)
    layout.tag("localhost/a:latest", new)
    layout.tag("localhost/a:latest", new)
    assert [(each.reference, each.digest) for each in layout.entries()] == [
        ("", old["digest"]),
        ("localhost/a:latest", new["digest"]),
    ]
    assert layout.untag("localhost/a:latest")
    assert not layout.untag("localhost/a:latest")
    assert [each.reference for each in layout.entries()] == ["", ""]
    layout.tag("localhost/b:latest", old)
    assert [each.reference for each in layout.entries()] == ["", "localhost/b:latest"]
    assert len(layout.remove(old["digest"])) == 1


def test_a_registrys_digest_of_an_index_finds_the_image_that_was_chosen_from_it(layout):
    source = digest_of(b"an index")
    layout.tag("docker.io/a/b:latest", image(layout), source_digest=source)
    assert layout.resolve(f"a/b@{source}").reference == "docker.io/a/b:latest"
    with pytest.raises(NotFound):
        layout.resolve(f"a/c@{source}")
    layout.tag("docker.io/a/c:latest", layout.entry("a/b").descriptor)
    assert layout.resolve(f"a/c@{source}")


def test_an_index_gives_the_image_of_the_platform(layout):
    entries = []
    for architecture in ("amd64", "arm64"):
        each = image(layout, architecture=architecture)
        each["platform"] = parse_platform(architecture)
        entries.append(each)
    index = {"schemaVersion": 2, "mediaType": documents.OCI_INDEX, "manifests": entries}
    layout.tag("localhost/a:latest", descriptor(layout, index, documents.OCI_INDEX))
    for architecture in ("amd64", "arm64"):
        found = layout.resolve("a", parse_platform(architecture))
        assert found.config["architecture"] == architecture
    with pytest.raises(NotFound, match="no image for linux/s390x"):
        layout.resolve("a", parse_platform("s390x"))
    assert len(garbage.reachable(layout)) == 5


def test_a_single_image_of_another_platform_is_not_what_was_asked(layout):
    layout.tag("localhost/a:latest", image(layout, architecture="s390x"))
    assert layout.resolve("a")
    with pytest.raises(NotFound, match="is for linux/s390x, not linux/arm64"):
        layout.resolve("a", parse_platform("arm64"))


def test_other_layouts_are_read(layout, tmp_path):
    shared = Layout(str(tmp_path / "shared"))
    shared.tag("localhost/a:latest", image(shared, b"layer"))
    mine = Layout(str(tmp_path / "mine"), (shared,))
    found = mine.resolve("a")
    assert mine.has_blob(found.config_digest)
    assert mine.entries() == ()
    assert mine.blob_path(digest_of(b"layer")).startswith(shared.path)


def test_garbage_is_what_no_entry_needs(layout):
    kept = image(layout, b"kept")
    layout.tag("localhost/a:latest", image(layout, b"removed", b"shared"))
    layout.tag("localhost/b:latest", kept)
    layout.tag("localhost/c:latest", image(layout, b"shared"))
    layout.resolve("a")
    layout.remove(layout.entry("a").digest)
    open(f"{layout.path}/blobs/sha256/left.tmp", "w").close()
    removed = garbage.collect(layout, keep=[])
    assert len(removed) == 4
    assert not layout.has_blob(digest_of(b"removed"))
    assert layout.has_blob(digest_of(b"shared"))
    assert len(layout.images()) == 2
    assert garbage.collect(layout) == []


def test_a_damaged_store_is_an_error_that_says_what_to_do(layout):
    layout.tag("localhost/a:latest", image(layout, b"x"))
    digest = layout.entry("a").digest
    path = layout.blob_path(digest)
    with open(path, "r+b") as file:
        file.write(b"[")
    with pytest.raises(ImageRefused, match="has the digest"):
        layout.resolve("a")
    assert layout.images() == []
    with open(f"{layout.path}/index.json", "w") as file:
        file.write("{")
    with pytest.raises(StoreFailed, match="damaged") as caught:
        layout.entries()
    assert "check --repair" in str(caught.value.hint)


def test_a_blob_must_be_what_its_name_says(layout):
    with pytest.raises(ImageRefused, match="claims to be"):
        layout.put_blob(b"x", digest_of(b"y"))
    with pytest.raises(ImageRefused, match="not a sha256"):
        layout.blob_path("sha256:../../../etc/passwd")
    with pytest.raises(NotFound, match="is not stored"):
        layout.open_blob(digest_of(b"z"))


def test_the_layout_is_the_one_of_the_specification(layout):
    layout.tag("localhost/a:latest", image(layout))
    with open(f"{layout.path}/oci-layout") as file:
        assert json.load(file) == {"imageLayoutVersion": "1.0.0"}
    with open(f"{layout.path}/index.json") as file:
        [entry] = json.load(file)["manifests"]
    assert entry["annotations"] == {documents.REF_NAME: "localhost/a:latest"}
    assert sorted(entry) == ["annotations", "digest", "mediaType", "size"]


def test_an_empty_place_is_an_empty_layout(layout):
    assert layout.entries() == ()
    assert layout.images() == []
    with pytest.raises((NotFound, Conflict)):
        layout.resolve("a")
