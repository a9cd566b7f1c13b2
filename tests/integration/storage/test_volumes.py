"""Named volumes: content, owners, and the names they may have."""

from __future__ import annotations

import os
import struct
import tarfile
import threading

import pytest

from rootless.errors import Conflict, ImageRefused, InvalidRequest, NotFound
from rootless.storage.volumes import Volumes
from rootless.userns import enter
from tests.support import tars
from tests.support.stores import _nodes, listing
from tests.support.tars import archive, directory, member, opaque, symlink, whiteout

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
IMAGE = (
    archive(
        directory("./"),
        directory("srv", 0o2770, uid=7, gid=8, mtime=3),
        member("srv/a", b"a", uid=9, mode=0o4755),
        member("srv/b", b"b"),
        member("srv/caps", b"c", mode=0o755, pax={"SCHILY.xattr.security.capability": CAPABILITY}),
        directory("srv/old"),
        member("srv/old/x", b"x"),
        symlink("var", "/srv"),
        symlink("loop", "loop"),
    ),
    archive(whiteout("srv/b"), opaque("srv/old"), member("srv/old/y", b"y"), symlink("srv/l", "a")),
)


@pytest.fixture
def volumes(ranged) -> Volumes:
    return Volumes(ranged.paths, ranged.id_map)


def content(ranged, volume):
    return _nodes(enter.call(lambda: list(listing(volume.path)), ranged.id_map))


def test_volumes_are_made_listed_and_removed(volumes, ranged):
    made = volumes.create("data", labels={"a": "b"})
    anonymous = volumes.create()
    assert (made.name, made.labels, made.anonymous) == ("data", {"a": "b"}, False)
    assert len(anonymous.name) == 64
    assert anonymous.anonymous
    assert {each.name for each in volumes.all()} == {"data", anonymous.name}
    assert volumes.get(anonymous.name[:12]) == anonymous
    assert volumes.ensure("data") == made
    assert os.stat(made.path).st_mode & 0o7777 == 0o755
    with pytest.raises(Conflict, match="exists"):
        volumes.create("data")
    with pytest.raises(NotFound):
        volumes.get("dat")
    volumes.remove("data")
    volumes.remove(anonymous.name)
    assert volumes.all() == []
    assert ranged.leftovers() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-a", "a\n", "a\0", "x" * 256, "é"])
def test_names_that_are_paths_or_worse_are_refused(volumes, name):
    for call in (volumes.create, volumes.get, volumes.remove, volumes.ensure):
        with pytest.raises(InvalidRequest):
            call(name)


def test_two_processes_that_make_one_volume_get_the_same(volumes):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(volumes.ensure("shared"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made_name.path for made_name in made)) == 1  # noqa: C401
    assert len(made) == 8


@pytest.mark.parametrize("target", ["/srv", "srv/", "/var", "/var/../var/."])
def test_a_new_volume_is_filled_with_what_the_image_has_there(volumes, ranged, target):
    chain = ranged.unpack(*IMAGE)
    rootfs = ranged.driver.rootfs(chain, ranged.bundle())
    volume = volumes.create("v")
    volumes.copy_up("v", rootfs, target)
    nodes = content(ranged, volume)
    assert set(nodes) == {".", "a", "caps", "old", "old/y", "l"}
    assert (nodes["."].mode, nodes["."].uid, nodes["."].gid) == (0o2770, 7, 8)
    assert (nodes["a"].mode, nodes["a"].uid) == (0o4755, 9)
    assert dict(nodes["caps"].xattrs) == {"security.capability": CAPABILITY}


def test_only_a_new_and_empty_volume_is_filled(volumes, ranged):
    chain = ranged.unpack(*IMAGE)
    rootfs = ranged.driver.rootfs(chain, ranged.bundle())
    used = volumes.create("used")
    with open(f"{used.path}/mine", "w", encoding="ascii"):
        pass
    volumes.copy_up("used", rootfs, "/srv")
    assert set(content(ranged, used)) == {".", "mine"}
    emptied = volumes.create("emptied")
    volumes.copy_up("emptied", rootfs, "/srv/old")
    enter.call(lambda: os.unlink(f"{emptied.path}/y"), ranged.id_map)
    volumes.copy_up("emptied", rootfs, "/srv/old")
    assert set(content(ranged, emptied)) == {"."}
    for name, target in (("none", "/missing/place"), ("file", "/srv/a"), ("up", "/../../..")):
        volume = volumes.create(name)
        volumes.copy_up(name, rootfs, target)
        assert len(content(ranged, volume)) == (9 if name == "up" else 1), name


def test_export_and_import_bring_everything_elsewhere(volumes, ranged, tmp_path):
    chain = ranged.unpack(*IMAGE)
    volume = volumes.create("from")
    volumes.copy_up("from", ranged.driver.rootfs(chain, ranged.bundle()), "/srv")

    def odd() -> None:
        os.mkdir(f"{volume.path}/.wh.name")
        os.mkfifo(f"{volume.path}/.wh.a")

    enter.call(odd, ranged.id_map)
    path = tmp_path / "volume.tar"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    volumes.export("from", fd)
    os.close(fd)
    with tarfile.open(path) as tar:
        assert ".wh.name" in tar.getnames()
    other = volumes.create("to")
    fd = os.open(path, os.O_RDONLY)
    assert volumes.import_archive("to", fd) == ()
    os.close(fd)
    expected = content(ranged, volume)
    got = content(ranged, other)
    assert {k: v._replace(mtime=0) for k, v in got.items()} == {
        k: v._replace(mtime=0) for k, v in expected.items()
    }
    assert (got["."].mode, got["."].uid) == (0o2770, 7)


def test_an_import_replaces_what_it_names_and_stays_inside(volumes, ranged, tmp_path):
    volume = volumes.create("v")
    (tmp_path / "outside").write_text("untouched")
    with open(f"{volume.path}/kept", "w", encoding="ascii"):
        pass
    os.symlink(str(tmp_path), f"{volume.path}/out")
    os.symlink(str(tmp_path / "outside"), f"{volume.path}/f")
    fd = os.memfd_create("tar")
    os.write(fd, tars.gzipped(archive(member("out/evil", b"x"), member("f", b"new"))))
    os.lseek(fd, 0, os.SEEK_SET)
    with pytest.raises(ImageRefused):
        volumes.import_archive("v", fd)
    os.close(fd)
    fd = os.memfd_create("tar")
    os.write(
        fd, tars.gzipped(archive(member("f", b"new"), directory("out"), member("out/in", b"i")))
    )
    os.lseek(fd, 0, os.SEEK_SET)
    volumes.import_archive("v", fd)
    os.close(fd)
    assert set(content(ranged, volume)) == {".", "kept", "f", "out", "out/in"}
    assert (tmp_path / "outside").read_text() == "untouched"
    assert os.listdir(tmp_path) == ["outside"]


def test_size_counts_blocks_and_files_with_two_names_once(volumes, ranged):
    volume = volumes.create("v")
    with open(f"{volume.path}/f", "wb") as file:
        file.write(os.urandom(1 << 20))
    os.link(f"{volume.path}/f", f"{volume.path}/g")
    assert 1 << 20 <= volumes.size_bytes("v") < 1 << 21
