"""``system check``: each kind of damage is named and makes it fail; a repair mends what can be mended."""

from __future__ import annotations

import glob
import json
import os

import pytest

from tests.support import oci


@pytest.fixture
def store(fresh_rootless, images):
    """A store with an image of three layers, unpacked, and a container that has ended."""
    fresh_rootless("pull", "-q", images.layered)
    fresh_rootless("run", "--name", "ended", "--network", "none", images.layered, "true")
    return fresh_rootless


def damage(store) -> list[tuple[str, str]]:
    """What a check finds, as kinds and problems."""
    result = store("system", "check", "--format", "json", check=False)
    found = json.loads(result.stdout)["findings"]
    assert result.exit_code == (1 if found else 0), str(result)
    return [(each["kind"], each["problem"]) for each in found]


def blobs_by_size(store) -> list[str]:
    return sorted(glob.glob(f"{store.home}/data/images/blobs/sha256/*"), key=os.path.getsize)


def manifest_of(store, name):
    digest = store("image", "inspect", name, "--format", "{{.Digest}}").stdout.strip()
    with open(f"{store.home}/data/images/blobs/{digest.replace(':', '/')}", "rb") as file:
        return json.load(file)


def test_a_whole_store_is_clean(store, fresh_rootless):
    said = store("system", "check").stdout
    assert said.startswith("Clean: 1 images, 5 blobs, 3 layers, 1 containers")
    assert damage(store) == []
    assert store("system", "check", "--quick").exit_code == 0


def test_an_empty_store_is_clean(fresh_rootless):
    assert fresh_rootless("system", "check").stdout == "Clean: nothing is stored\n"


def test_a_changed_blob_is_found_and_pulled_again(store, images):
    path = blobs_by_size(store)[-1]
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    assert [kind for kind, _ in damage(store)] == ["blob", "image"]
    assert store("system", "check", "-q", check=False).exit_code == 0  # it reads no content
    repaired = store("system", "check", "--repair")
    assert "removed" in repaired.stdout
    assert "pulled again" in repaired.stdout
    assert damage(store) == []
    assert store("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == [
        images.layered
    ]


def test_a_missing_or_short_blob_is_found_without_reading_any(store, images):
    config = str(manifest_of(store, images.layered)["config"]["digest"])
    os.truncate(blobs_by_size(store)[-1], 100)
    os.unlink(f"{store.home}/data/images/blobs/{config.replace(':', '/')}")
    result = store("system", "check", "--quick", check=False)
    assert result.exit_code == 1
    assert "has 100 bytes, not" in result.stdout
    assert "lacks the blob" in result.stdout
    store("system", "check", "--repair")
    assert damage(store) == []


def test_what_no_registry_has_any_more_stays_while_it_runs(store, images):
    store("tag", images.layered, "localhost/mine")
    store("rmi", images.layered)
    os.unlink(blobs_by_size(store)[-1])
    result = store("system", "check", "--repair", check=False)
    assert result.exit_code == 1
    assert "stays as it is, for it runs" in result.stdout
    assert "--force" in result.stderr
    store("run", "--rm", "--network", "none", "localhost/mine", "true")
    store("rm", "ended")
    store("system", "check", "--repair", "--force")
    assert store("images", "-q").stdout == ""
    assert damage(store) == []


def layer_with(store, path) -> str:
    [found] = glob.glob(f"{store.home}/data/layers/*/*/diff/{path}")
    return found


def test_changed_files_of_an_unpacked_layer_are_found_and_unpacked_again(store, images):
    line = ("run", "--rm", "--network", "none", images.layered, "cat", "/data/kept")
    with open(layer_with(store, "data/kept"), "w", encoding="ascii") as file:
        file.write("evil\n")
    assert store(*line).stdout == "evil\n"
    os.unlink(layer_with(store, "hidden/new"))
    with open(os.path.dirname(layer_with(store, "data/link")) + "/more", "w", encoding="ascii"):
        pass
    problems = dict.fromkeys(problem for kind, problem in damage(store) if kind == "layer")
    assert "/data/kept has other content" in problems
    assert any("/hidden/new is missing" in each for each in problems)
    assert any("/data/more does not belong to it" in each for each in problems)
    assert "unpacked again" in store("system", "check", "--repair").stdout
    assert damage(store) == []
    assert store(*line).stdout == "kept\n"
    assert store("start", "-a", "ended").exit_code == 0


def test_a_layer_of_a_running_container_is_left_to_it(store, images):
    store("run", "-d", "--name", "busy", "--network", "none", images.layered, "sleep", "1000")
    with open(layer_with(store, "data/kept"), "w", encoding="ascii") as file:
        file.write("evil\n")
    store("system", "check", "--repair", check=False)
    assert os.path.exists(layer_with(store, "data/kept"))
    store("rm", "-f", "busy")
    assert [kind for kind, _ in damage(store)] == ["layer"]


@pytest.mark.parametrize("content", ["", "[]", '{"manifests": [{"digest": 1}]}'])
def test_an_index_that_is_damaged_is_made_anew(store, images, content):
    with open(f"{store.home}/data/images/index.json", "w", encoding="ascii") as file:
        file.write(content)
    assert "system check --repair" in store.fails("images")
    assert [kind for kind, _ in damage(store)] == ["index"]
    store("system", "check", "--repair")
    assert damage(store) == []
    # The container knew the name.
    assert store("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == [
        images.layered
    ]


def test_a_hostile_index_and_blobs_that_are_no_files(store, images):
    place = f"{store.home}/data/images"
    with open(f"{place}/index.json", encoding="utf-8") as file:
        index = json.load(file)
    bad = {"mediaType": oci.MANIFEST, "digest": "sha256:../../../../etc/passwd", "size": 3}
    index["manifests"].append(bad)
    with open(f"{place}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)
    store("rm", "ended")  # it would know the name
    os.mkfifo(f"{place}/blobs/sha256/{'a' * 64}")
    os.symlink("/etc/passwd", f"{place}/blobs/sha256/{'b' * 64}")
    os.mkdir(f"{place}/blobs/sha256/{'c' * 64}")
    assert [kind for kind, _ in damage(store)] == ["blob", "blob", "blob", "index"]
    store("system", "check", "--repair")
    assert damage(store) == []
    assert store("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == [
        images.layered
    ]


def test_a_damaged_record_of_an_image_is_made_anew(store, images):
    [record] = glob.glob(f"{store.home}/data/images/records/*.json")
    with open(record, encoding="utf-8") as file:
        content = json.load(file)
    content["config"]["config"]["Cmd"] = ["evil"]
    with open(record, "w", encoding="utf-8") as file:
        json.dump(content, file)
    assert [kind for kind, _ in damage(store)] == ["record"]
    store("system", "check", "--repair")
    assert store("image", "inspect", images.layered, "-f", "{{.Config.Cmd}}").stdout == "[sh]\n"


def test_a_container_without_a_record_stays_until_force_is_asked_for(store):
    [bundle] = glob.glob(f"{store.home}/data/containers/*")
    with open(f"{bundle}/container.json", "w", encoding="ascii"):
        pass
    assert "rootless rm -f" in store("ps", "-a").stderr
    assert ("container", "has a record that cannot be read") in damage(store)
    assert store("system", "check", "--repair", check=False).exit_code == 1
    assert os.path.isdir(bundle)
    store("system", "check", "--repair", "--force")
    assert store("ps", "-aq").stdout == ""
    assert os.listdir(f"{store.home}/data/names") == []


def test_names_lead_to_their_containers_again(store, images):
    os.unlink(f"{store.home}/data/names/ended")
    os.symlink("../containers/" + "0" * 64, f"{store.home}/data/names/gone")
    assert damage(store) == [("name", "does not lead to its container")]
    assert "names of containers that are gone" in store("system", "check", "--repair").stdout
    store("rm", "ended")
    store("run", "--rm", "--name", "gone", "--network", "none", images.layered, "true")


def test_layers_that_a_build_has_made_are_as_their_blobs_say(store, images, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.layered}\n"
        "RUN rm -r /hidden && mv /data /moved && mkfifo /pipe && chown 7:8 /moved && ln /owned /o2\n"
        "RUN --mount=type=cache,target=/cache echo 1 > /cache/1 && touch /a && rm /a\n"
    )
    store("build", "-q", "-t", "built", str(tmp_path))
    store("build", "-q", "-t", "again", "--no-cache", "--timestamp", "1", str(tmp_path))
    checked = json.loads(store("system", "check", "--format", "json").stdout)["checked"]
    assert checked["layers compared"] == checked["layers"] == 7


def test_what_killed_commands_left_is_no_damage(store):
    data = f"{store.home}/data"
    os.makedirs(f"{data}/volumes/.stray")
    assert store("volume", "ls", "-q").stdout == ""
    assert store("system", "df").exit_code == 0
    os.rmdir(f"{data}/volumes/.stray")
    os.mkdir(f"{data}/scratch/layer-0000")
    with open(f"{data}/images/blobs/sha256/{'0' * 64}.aa.tmp", "w", encoding="ascii"):
        pass
    said = store("system", "check").stdout
    assert "1 unfinished trees of killed commands" in said
    assert ".aa.tmp, which a killed command was writing" in said
    assert os.listdir(f"{data}/scratch") == []
    store("image", "prune", "-f")
    assert ".tmp" not in store("system", "check").stdout
