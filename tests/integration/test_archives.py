"""Archives: what is saved is loaded with every digest, and other tools' archives are read."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cli import Rootless
    from tests.support.images import Images


def digest_of(rootless: Rootless, name: str) -> str:
    return rootless("image", "inspect", "--format", "{{.Digest}}", name).stdout.strip()


def id_of(rootless: Rootless, name: str) -> str:
    return rootless("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()


def diff_ids(rootless: Rootless, name: str) -> str:
    return rootless("image", "inspect", "--format", "{{json .RootFS}}", name).stdout


@pytest.fixture
def second(new_store: Callable[[], Rootless]) -> Rootless:
    """Another user's empty store."""
    return new_store()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_save_and_load_keep_every_digest(
    rootless: Rootless, second: Rootless, images: Images, form: str, tmp_path
):
    names = [images.layered, images.busybox_zstd]
    for name in names:
        rootless("pull", "-q", name)
    rootless("save", "--format", form, "-o", str(tmp_path / "saved"), *names)
    second("load", "-q", "-i", str(tmp_path / "saved"))
    for name in names:
        assert digest_of(second, name) == digest_of(rootless, name)
        assert second("run", "--rm", "--network", "none", name, "echo", "hi").stdout == "hi\n"


def test_images_of_one_config_keep_their_own_manifests(
    rootless: Rootless, second: Rootless, images: Images, tmp_path
):
    names = [images.busybox, images.busybox_zstd]
    for name in names:
        rootless("pull", "-q", name)
    assert id_of(rootless, names[0]) == id_of(rootless, names[1])
    assert digest_of(rootless, names[0]) != digest_of(rootless, names[1])
    rootless("save", "-o", str(tmp_path / "saved"), *names)
    loaded = second("load", "-i", str(tmp_path / "saved")).stdout.splitlines()
    assert len(loaded) == len(set(loaded)) == len(names)
    for name in names:
        assert digest_of(second, name) == digest_of(rootless, name)


def test_archives_go_through_pipes_compressed_or_not(
    rootless: Rootless, second: Rootless, images: Images, tmp_path
):
    rootless("pull", "-q", images.busybox)
    saved = subprocess.run(
        [*rootless.command, "save", images.busybox],
        env=rootless.environment,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    second("load", "-q", stdin=saved)
    assert id_of(second, images.busybox) == id_of(rootless, images.busybox)
    second("rmi", images.busybox)
    second("load", "-q", stdin=gzip.compress(saved, 1))
    assert id_of(second, images.busybox) == id_of(rootless, images.busybox)


def test_skopeo_reads_what_we_save_and_we_read_what_it_writes(
    rootless: Rootless, second: Rootless, images: Images, tmp_path
):
    rootless("pull", "-q", images.layered)
    saved = tmp_path / "saved"
    rootless("save", "-o", str(saved), images.layered)
    for source in (f"docker-archive:{saved}", f"oci-archive:{saved}"):
        for target in ("docker-archive", "oci-archive"):
            written = tmp_path / f"{target}-{source.partition(':')[0]}"
            copy = ["skopeo", "copy", "-q", source, f"{target}:{written}:example.com/copied:1"]
            subprocess.run(copy, check=True, capture_output=True)
            second("load", "-q", "-i", str(written))
            # skopeo writes documents anew when it changes the format; the layers stay.
            assert diff_ids(second, "example.com/copied:1") == diff_ids(rootless, images.layered)
            second("rmi", "example.com/copied:1")


def test_skopeo_and_umoci_read_the_store_in_place(rootless: Rootless, images: Images, tmp_path):
    rootless("pull", "-q", images.busybox)
    place = f"{rootless.home}/data/images:{images.busybox}"
    inspected = subprocess.run(
        ["skopeo", "inspect", f"oci:{place}"], check=True, capture_output=True
    ).stdout
    assert json.loads(inspected)["Digest"] == digest_of(rootless, images.busybox)
    unpack = ["umoci", "unpack", "--rootless", "--image", place, str(tmp_path / "unpacked")]
    subprocess.run(unpack, check=True, capture_output=True)
    assert (tmp_path / "unpacked/rootfs/bin/busybox").exists()


def archive_of(**files: bytes) -> bytes:
    return oci.tar_of(*(oci.Entry(name, content) for name, content in files.items()))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no archive", "not an image archive"),
        (archive_of(x=b"1"), "neither index.json nor manifest.json"),
        (archive_of(repositories=b"{}"), "before 1.10"),
        (archive_of(**{"manifest.json": b"{"}), "damaged"),
        (archive_of(**{"manifest.json": b'[{"Config": "../../etc/passwd"}]'}), "lacks the config"),
        (archive_of(**{"oci-layout": b"{}", "index.json": b"[]"}), "not a JSON object"),
    ],
)
def test_what_is_no_archive_is_one_error(fresh_rootless: Rootless, content: bytes, words: str):
    result = fresh_rootless("load", stdin=content, check=False)
    assert result.exit_code == 125
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert fresh_rootless("images", "-q").stdout == ""


@pytest.mark.parametrize("part", ["blob", "config", "diff_id"])
def test_an_archive_that_lies_is_refused(
    rootless: Rootless, fresh_rootless: Rootless, images: Images, part: str, tmp_path
):
    rootless("pull", "-q", images.busybox)
    saved = tmp_path / "saved"
    rootless("save", "-o", str(saved), images.busybox)
    with tarfile.open(saved) as archive:
        members = {each.name: archive.extractfile(each) for each in archive if each.isreg()}
        contents = {name: file.read() for name, file in members.items() if file}
    largest = max(contents, key=lambda name: len(contents[name]))
    config = json.loads(contents["manifest.json"])[0]["Config"]
    if part == "blob":
        contents[largest] = contents[largest][:-1] + b"x"
    elif part == "config":
        contents[config] = contents[config].replace(b"linux", b"linuX")
    else:
        # docker's format has no digests but diff IDs: those are checked while unpacking.
        del contents["index.json"], contents["oci-layout"]
        contents[largest] = gzip.compress(oci.tar_of(oci.Entry("other", b"x")))
    result = fresh_rootless("load", stdin=archive_of(**contents), check=False)
    assert result.exit_code == 125, result
    assert "Traceback" not in result.stderr
    assert fresh_rootless("images", "-q").stdout == ""


def test_an_archive_cut_short_is_refused(
    rootless: Rootless, fresh_rootless: Rootless, images: Images, tmp_path
):
    rootless("pull", "-q", images.busybox)
    saved = tmp_path / "saved"
    rootless("save", "-o", str(saved), images.busybox)
    content = saved.read_bytes()
    for end in (100, 600, len(content) // 2):
        result = fresh_rootless("load", stdin=io.BytesIO(content).read(end), check=False)
        assert result.exit_code == 125
        assert fresh_rootless("images", "-q").stdout == ""


def test_rmi_frees_what_only_the_image_needed(second: Rootless, images: Images):
    for name in (images.busybox, images.layered):
        second("pull", "-q", name)
    second("tag", images.layered, "localhost/other")
    conflict = second("rmi", id_of(second, images.layered)[7:], check=False)
    assert "has 2 names" in conflict.stderr
    second("rmi", images.layered)
    assert second("image", "exists", "localhost/other", check=False).exit_code == 0
    second("rmi", "localhost/other")
    assert second("run", "--rm", "--network", "none", images.busybox, "echo", "hi").stdout == "hi\n"
    second("create", "--name", "user", "--network", "none", images.busybox)
    used = second("rmi", images.busybox, check=False)
    assert "is used by container user" in used.stderr
    second("rmi", "-f", images.busybox)
    second("rm", "user")
    second("image", "prune", "-f", check=False)
    assert second("images", "-q").stdout == ""
