"""What a container changed becomes a layer that means the same everywhere."""

from __future__ import annotations

import os
import tarfile
import time

import pytest

from rootless.errors import StoreFailed
from tests.support import tars
from tests.support.tars import archive, directory, hard_link, member, symlink

BASE = archive(
    directory("./"),
    directory("etc"),
    member("etc/a", b"lower a"),
    member("etc/b", b"lower b", mode=0o600),
    hard_link("etc/linked", "etc/a"),
    directory("d", 0o750, mtime=5),
    member("d/x", b"x"),
    directory("d/sub"),
    member("d/sub/y", b"y"),
    directory("proc"),
    symlink("s", "etc/a"),
    member("removed", b"gone soon"),
    member("replaced-by-directory", b"file"),
    directory("replaced-by-file"),
    member("replaced-by-file/inside", b"i"),
    member("capable", b"c", mode=0o755, pax={"SCHILY.xattr.user.x": "1"}),
)


def change(root: str) -> None:
    """A bit of everything that a program may do."""
    os.chdir(root)
    with open("etc/new", "w", encoding="ascii") as file:
        file.write("new")
    with open("d/x", "a", encoding="ascii") as file:
        file.write("appended")
    os.chmod("etc/b", 0o4711)
    os.unlink("removed")
    os.unlink("replaced-by-directory")
    os.mkdir("replaced-by-directory")
    with open("replaced-by-directory/f", "w", encoding="ascii"):
        pass
    os.unlink("replaced-by-file/inside")
    os.rmdir("replaced-by-file")
    with open("replaced-by-file", "w", encoding="ascii"):
        pass
    os.mkdir("n")
    os.symlink("../d", "n/link")
    os.mkfifo("n/fifo")
    with open("n/one", "w", encoding="ascii") as file:
        file.write("one")
    os.link("n/one", "n/two")
    os.setxattr("n/one", "user.note", b"kept\0")
    os.rename("d/sub/y", "d/moved")
    os.rmdir("d/sub")
    os.mkdir("d/sub")
    with open("d/sub/z", "w", encoding="ascii"):
        pass
    os.unlink("s")
    os.symlink("etc/b", "s")


def commit(store, rootfs, bundle, parent, **options):
    output = f"{store.paths.data}/blob"
    return store.layers.commit(rootfs, bundle=bundle, parent=parent, output=output, **options)


def names_of(made) -> list[str]:
    with tarfile.open(made.path) as tar:
        return tar.getnames()


def reread(store, made, base, tmp_path_factory=None):
    """The tree of base and blob in a store of its own, where nothing of the first is known."""
    with tarfile.open(made.path) as tar:
        assert tar.getnames()
    import gzip

    with open(made.path, "rb") as file:
        content = gzip.decompress(file.read())
    assert tars.diff_id(content) == made.diff_id
    return content


def without_times(tree):
    return {path: node._replace(mtime=0) for path, node in tree.items()}


@pytest.mark.parametrize("consume", [True, False])
def test_the_layer_is_the_container_and_comes_back_elsewhere(store, new_store, consume):
    base = store.unpack(BASE)
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)
    before = store.in_rootfs(rootfs, lambda root: (change(root), None)[1])
    assert before is None
    from tests.support.stores import _nodes, listing

    inside = _nodes(store.in_rootfs(rootfs, lambda root: list(listing(root))))
    made = commit(store, rootfs, bundle, base[-1], consume=consume)
    assert store.layers.has(made.chain_id)
    assert made.size_bytes == os.stat(made.path).st_size
    stacked = store.tree((*base, made.chain_id))
    assert without_times(stacked) == without_times(inside)
    other = new_store(store.driver.name, single=store.id_map.is_single)
    elsewhere = other.tree(other.unpack(BASE, reread(store, made, base)))
    assert without_times(elsewhere) == without_times(inside)
    assert store.leftovers() == []
    assert elsewhere["n/two"].same_as == "n/one"
    assert dict(elsewhere["n/one"].xattrs) == {"user.note": b"kept\0"}
    assert elsewhere["etc/b"].mode == 0o4711


def test_the_layer_holds_only_what_changed_in_a_good_order(store):
    base = store.unpack(BASE)
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)

    def little(root: str) -> None:
        os.chdir(root)
        os.unlink("etc/b")
        with open("etc/c", "w", encoding="ascii"):
            pass
        os.unlink("removed")

    store.in_rootfs(rootfs, little)
    made = commit(store, rootfs, bundle, base[-1])
    listed = names_of(made)
    assert [name for name in listed if name != "."] == [".wh.removed", "etc", "etc/.wh.b", "etc/c"]
    assert made.entries == len(listed)


def test_nothing_changed_is_an_empty_layer(store):
    base = store.unpack(BASE)
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)
    store.in_rootfs(rootfs, os.listdir)
    made = commit(store, rootfs, bundle, base[-1])
    assert made.entries == 0
    assert names_of(made) == []
    assert without_times(store.tree((*base, made.chain_id))) == without_times(store.tree(base))


def test_an_image_without_layers(store):
    bundle = store.bundle()
    rootfs = store.driver.rootfs((), bundle)

    def fill(root: str) -> None:
        with open(f"{root}/first", "w", encoding="ascii") as file:
            file.write("1")

    store.in_rootfs(rootfs, fill)
    made = commit(store, rootfs, bundle, None)
    assert made.chain_id == made.diff_id
    assert [name for name in names_of(made) if name != "."] == ["first"]
    assert "first" in store.tree((made.chain_id,))


def test_mount_targets_are_not_part_of_a_layer(store):
    base = store.unpack(BASE)
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)
    skip = (
        "/etc/hosts",
        "/etc/resolv.conf",
        "/dev",
        "/run/secrets/token",
        "/d/sub/volume",
        "/proc",
    )

    def stubs(root: str) -> None:
        os.chdir(root)
        for name in ("etc/hosts", "d/x2"):
            with open(name, "w", encoding="ascii"):
                pass
        with open("etc/resolv.conf", "w", encoding="ascii") as file:
            file.write("somebody wrote this")
        os.mkdir("dev")
        os.mkdir("d/sub/volume")
        os.utime("d/sub")

    store.in_rootfs(rootfs, stubs)
    made = commit(store, rootfs, bundle, base[-1], skip=skip)
    listed = [name for name in names_of(made) if name != "."]
    if store.driver.name == "vfs":  # it cannot tell whose work a directory's new time is
        assert listed == ["d/x2", "etc/resolv.conf"]
    else:
        assert listed == ["d", "d/x2", "etc", "etc/resolv.conf"]
    tree = store.tree((*base, made.chain_id))
    assert not {"etc/hosts", "dev", "d/sub/volume"} & set(tree)


def test_two_builds_of_the_same_changes_are_the_same_bytes(store):
    base = store.unpack(BASE)
    latest = 1_700_000_000
    digests = set()
    trees = []
    for _ in range(2):
        bundle = store.bundle()
        rootfs = store.driver.rootfs(base, bundle)
        store.in_rootfs(rootfs, change)
        made = commit(store, rootfs, bundle, base[-1], timestamp=latest)
        digests.add((made.diff_id, made.digest))
        with tarfile.open(made.path) as tar:
            assert max(member.mtime for member in tar) <= latest
        trees.append(store.tree((*base, made.chain_id)))
        time.sleep(1.1)  # times are whole seconds
    assert len(digests) == 1
    assert max(node.mtime for path, node in trees[0].items() if path != ".") <= latest


def test_recorded_owners_come_back_and_do_not_leak(store):
    base = store.unpack(
        archive(
            directory("./"),
            member("far", b"f", uid=3_000_000, gid=3_000_001, mode=0o6755),
            member("edited", b"e", uid=3_000_000, mode=0o755),
            member("taken", b"t", uid=3_000_000),
            member("null", kind=tars.CHARACTER, mode=0o666, device=(1, 3)),
            member("caps", b"c", pax={"SCHILY.xattr.trusted.kept": "beside"}),
        )
    )
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)

    def touch(root: str) -> None:
        os.chdir(root)
        for name in ("far", "edited", "null", "caps"):
            os.rename(name, f"{name}2")
        os.chmod("edited2", 0o700)
        os.chown("taken", 0, 0)
        os.removexattr("taken", "user.containers.override_stat")

    store.in_rootfs(rootfs, touch)
    made = commit(store, rootfs, bundle, base[-1])
    with tarfile.open(made.path) as tar:
        members = {each.name: each for each in tar}
    far, edited = members["far2"], members["edited2"]
    assert (far.uid, far.gid, far.mode) == (3_000_000, 3_000_001, 0o6755)
    assert (edited.uid, edited.mode) == (3_000_000, 0o700)
    assert members["taken"].uid == 0
    null = members["null2"]
    assert (null.type, null.devmajor, null.devminor) == (tarfile.CHRTYPE, 1, 3)
    assert members["caps2"].pax_headers["SCHILY.xattr.trusted.kept"] == "beside"
    keys = {key for each in members.values() for key in each.pax_headers}
    assert not {
        key for key in keys if "override_stat" in key or "rootless" in key or "overlay" in key
    }


def test_owners_inside_are_those_of_the_layer(new_store):
    for driver in ("overlay", "vfs"):
        store = new_store(driver)
        base = store.unpack(BASE)
        bundle = store.bundle()
        rootfs = store.driver.rootfs(base, bundle)
        store.in_rootfs(rootfs, lambda root: os.chown(f"{root}/d/x", 1000, 65534))
        made = commit(store, rootfs, bundle, base[-1])
        with tarfile.open(made.path) as tar:
            owned = tar.getmember("d/x")
        assert (owned.uid, owned.gid) == (1000, 65534)
        node = store.tree((*base, made.chain_id))["d/x"]
        assert (node.uid, node.gid) == (1000, 65534)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_other_compressions(ranged, compression):
    base = ranged.unpack(BASE)
    bundle = ranged.bundle()
    rootfs = ranged.driver.rootfs(base, bundle)
    ranged.in_rootfs(rootfs, change)
    made = commit(ranged, rootfs, bundle, base[-1], compression=compression, consume=False)
    assert made.media_type.endswith({"none": "layer.v1.tar", "zstd": "tar+zstd"}[compression])
    assert "n/one" in ranged.tree((*base, made.chain_id))


def test_a_container_goes_on_after_a_commit_that_does_not_consume_it(store):
    base = store.unpack(BASE)
    bundle = store.bundle()
    rootfs = store.driver.rootfs(base, bundle)
    store.in_rootfs(rootfs, change)
    first = commit(store, rootfs, bundle, base[-1], consume=False)
    again = commit(store, rootfs, bundle, base[-1], consume=False)
    assert first.diff_id == again.diff_id
    assert "new" in store.in_rootfs(rootfs, lambda root: os.listdir(f"{root}/etc"))


def test_sockets_are_left_out_and_a_blob_that_cannot_be_written_leaves_nothing(ranged):
    base = ranged.unpack(BASE)
    bundle = ranged.bundle()
    rootfs = ranged.driver.rootfs(base, bundle)

    def work(root: str) -> None:
        import socket

        os.chdir(root)
        socket.socket(socket.AF_UNIX).bind("sock")
        with open("large", "wb") as file:
            file.write(os.urandom(3 << 20))

    ranged.in_rootfs(rootfs, work)
    with pytest.raises(StoreFailed, match="space"):
        ranged.layers.commit(rootfs, bundle=bundle, parent=base[-1], output="/dev/full")
    assert ranged.leftovers() == []
    made = commit(ranged, rootfs, bundle, base[-1])
    assert "sock" not in names_of(made)
