"""The tools of the tests keep their word, too."""

import io
import json
import tarfile

from tests.support import leaks, oci


def test_a_layout_written_here_names_its_blobs_by_their_digests(tmp_path):
    layout = oci.Layout(str(tmp_path))
    descriptor = layout.image(oci.tar_of(oci.Entry("hello", b"world\n")), config={"Cmd": ["hello"]})
    layout.tag("image", descriptor)
    manifest = layout.read(descriptor)
    assert layout.read(manifest["config"])["config"] == {"Cmd": ["hello"]}
    for blob in (tmp_path / "blobs/sha256").iterdir():
        assert oci.digest_of(blob.read_bytes()) == f"sha256:{blob.name}"
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["manifests"][0]["annotations"] == {oci.REF_NAME: "image"}


def test_a_layer_archive_has_what_was_asked_for():
    archive = oci.tar_of(
        oci.directory("d", 0o700),
        oci.Entry("d/file", b"x", uid=7, xattrs=(("user.a", "b"),)),
        oci.symlink("d/link", "file"),
        oci.whiteout("d/gone"),
    )
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = {member.name: member for member in members}
    assert found["d"].isdir() and found["d"].mode == 0o700
    assert found["d/file"].uid == 7
    assert found["d/file"].pax_headers == {"SCHILY.xattr.user.a": "b"}
    assert found["d/link"].linkname == "file"
    assert "d/.wh.gone" in found


def test_a_leak_is_named():
    empty = leaks.Snapshot(*[frozenset()] * 5)
    later = empty._replace(mounts=frozenset({"/mnt"}), files=frozenset({"/tmp/x"}))
    assert later.added_since(empty) == ["mounts: /mnt", "files: /tmp/x"]
    assert empty.added_since(later) == []
