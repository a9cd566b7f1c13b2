"""Layers as they come out of a mounted root, for every driver."""

from __future__ import annotations

import os
import struct

import pytest

from rootless.errors import ImageRefused, StoreFailed
from tests.support import tars
from tests.support.tars import archive, directory, hard_link, member, opaque, symlink, whiteout

BASE = archive(
    directory("./", 0o755),
    directory("etc"),
    member("etc/a", b"lower a"),
    member("etc/b", b"lower b"),
    directory("d", 0o750, mtime=5),
    member("d/x", b"x"),
    directory("d/sub"),
    member("d/sub/y", b"y"),
)


def names(tree) -> set[str]:
    return set(tree) - {"."}


def test_files_modes_times_and_links(store):
    (chain,) = store.unpack(
        archive(
            directory("./", 0o711, mtime=11),
            directory("d", 0o1777, mtime=12),
            member("d/f", b"content", mode=0o4755, mtime=13),
            hard_link("d/g", "d/f"),
            symlink("d/s", "/etc/nowhere", mtime=14),
            member("d/p", kind=tars.FIFO, mode=0o600, mtime=15),
            member("empty", mode=0),
            member("d/old", b"1", mtime=-7),
        )
    )
    tree = store.tree((chain,))
    assert names(tree) == {"d", "d/f", "d/g", "d/s", "d/p", "d/old", "empty"}
    assert (tree["."].mode, tree["."].mtime) == (0o711, 11) or store.driver.name != "vfs"
    assert (tree["d"].mode, tree["d"].mtime) == (0o1777, 12)
    assert (tree["d/f"].mode, tree["d/f"].mtime) == (0o4755, 13)
    assert tree["d/f"].content.startswith("7 ")
    assert tree["d/g"].same_as == "d/f"
    assert (tree["d/s"].content, tree["d/s"].mtime) == ("/etc/nowhere", 14)
    assert (tree["d/p"].kind, tree["d/p"].mode) == ("fifo", 0o600)
    assert tree["empty"].mode == 0
    assert tree["d/old"].mtime == -7


def test_whiteouts_hide_what_is_below_and_nothing_else(store):
    upper = archive(
        directory("etc"),
        whiteout("etc/a"),
        member("etc/b", b"upper b"),
        whiteout("etc/b"),  # of the lower layer: the b of this one stays, whatever the order
        directory("d"),
        member("d/z", b"z"),
        opaque("d"),
    )
    tree = store.tree(store.unpack(BASE, upper))
    assert names(tree) == {"etc", "etc/b", "d", "d/z"}
    assert tree["etc/b"].content.startswith("7 ")


def test_an_opaque_mark_before_its_siblings_and_in_the_root(store):
    first = store.unpack(BASE, archive(opaque("d"), member("d/new", b"n")))
    assert names(store.tree(first)) == {"etc", "etc/a", "etc/b", "d", "d/new"}
    second = store.unpack(BASE, archive(member("only", b"o"), opaque(""), directory("etc")))
    assert names(store.tree(second)) == {"only", "etc"}


@pytest.mark.parametrize("explicit", [True, False])
def test_a_directory_that_replaces_a_removed_one_is_empty(store, explicit):
    again = (directory("d"),) if explicit else ()
    chain = store.unpack(BASE, archive(whiteout("d"), *again, member("d/new", b"n")))
    assert names(store.tree(chain)) == {"etc", "etc/a", "etc/b", "d", "d/new"}
    chain = store.unpack(BASE, archive(*again, member("d/new", b"n"), whiteout("d")))
    assert names(store.tree(chain)) == {"etc", "etc/a", "etc/b", "d", "d/new"}


def test_file_over_directory_and_back(store):
    chain = store.unpack(
        BASE,
        archive(member("d", b"now a file")),
        archive(directory("d"), member("d/new", b"n"), symlink("etc", "d")),
        archive(directory("etc"), member("etc/last", b"l")),
    )
    tree = store.tree(chain)
    assert names(tree) == {"d", "d/new", "etc", "etc/last"}


def test_the_last_of_two_entries_with_one_name_counts(store):
    chain = store.unpack(
        BASE,
        archive(
            member("twice", b"first"),
            member("twice", b"second!"),
            directory("t"),
            member("t/inside", b"i"),
            member("t", b"a file now"),
            symlink("u", "etc"),
            directory("u"),
            member("u/inside", b"i"),
            member("d", b"file"),
            directory("d", 0o700),
            directory("v", 0o700, mtime=3),
            directory("v", 0o755, mtime=4),
        ),
    )
    tree = store.tree(chain)
    assert tree["twice"].content.startswith("7 ")
    assert tree["t"].content.startswith("10 ")
    assert names(tree) == {"etc", "etc/a", "etc/b", "twice", "t", "u", "u/inside", "d", "v"}
    assert (tree["v"].mode, tree["v"].mtime) == (0o755, 4)


def test_directories_without_an_entry_are_as_they_are_below(store):
    chain = store.unpack(BASE, archive(member("d/sub/new", b"n"), member("x/y/z", b"z", mtime=9)))
    tree = store.tree(chain)
    assert (tree["d"].mode, tree["d"].mtime) == (0o750, 5)
    assert (tree["x/y"].mode, tree["x/y"].uid, tree["x/y"].mtime) == (0o755, 0, 9)
    assert "d/sub/y" in tree


def test_hard_links_into_lower_layers(store):
    chain = store.unpack(
        BASE,
        archive(hard_link("etc/c", "etc/a"), hard_link("deep/er/x", "d/x"), whiteout("d/x")),
        archive(hard_link("top", "etc/c")),
    )
    tree = store.tree(chain)
    assert tree["etc/c"].content == tree["etc/a"].content == tree["top"].content
    assert tree["deep/er/x"].content.startswith("1 ")
    assert "d/x" not in tree


def test_a_hard_link_to_nothing_is_refused(store):
    for archives in (
        (archive(hard_link("a", "missing")),),
        (BASE, archive(hard_link("a", "etc/missing"))),
        (BASE, archive(whiteout("etc/a")), archive(hard_link("a", "etc/a"))),
        (BASE, archive(hard_link("a", "d"))),
    ):
        with pytest.raises(ImageRefused, match="hard link"):
            store.unpack(*archives)
    assert store.leftovers() == []


def test_parents_that_are_links_of_the_same_layer_stay_inside(store):
    chain = store.unpack(
        archive(
            directory("usr"),
            directory("usr/bin"),
            symlink("bin", "usr/bin"),
            symlink("absolute", "/usr"),
            symlink("up", "../../../../usr"),
            member("bin/one", b"1"),
            member("absolute/two", b"2"),
            member("up/three", b"3"),
            hard_link("four", "bin/one"),
        )
    )
    tree = store.tree(chain)
    assert {"usr/bin/one", "usr/two", "usr/three", "four"} < names(tree)
    assert tree["bin"].kind == "link"


def test_sparse_files_keep_their_holes(store):
    size = 64 << 20
    content = archive(
        directory("./"),
        member("hole", b"A" * 512, pax={"GNU.sparse.map": f"{size // 2},512", "GNU.sparse.size": str(size)}),
        member("zeros", bytes(8 << 20)),
        member("mixed", b"a" * 70000 + bytes(4 << 20) + b"b"),
    )  # fmt: skip
    (chain,) = store.unpack(content)
    root = store.layers.path(chain)
    assert os.stat(f"{root}/hole").st_size == size
    assert os.stat(f"{root}/zeros").st_size == 8 << 20
    for name in ("hole", "zeros", "mixed"):
        assert os.stat(f"{root}/{name}").st_blocks * 512 < 1 << 21, name
    tree = store.tree((chain,))
    plain = store.unpack(
        archive(member("hole", bytes(size // 2) + b"A" * 512 + bytes(size // 2 - 512)))
    )
    assert store.tree(plain)["hole"].content == tree["hole"].content
    with open(f"{root}/mixed", "rb") as file:
        assert file.read() == b"a" * 70000 + bytes(4 << 20) + b"b"


def test_long_names_and_odd_bytes(store):
    long = "/".join(["component" * 20] * 12)
    odd = b"\xff\xfe \n\t\\'\"$(x)"
    (chain,) = store.unpack(
        archive(member("cut", b"long", pax={"path": long}), member(odd, b"odd"), directory("-rf"))
    )
    tree = store.tree((chain,))
    assert tree[long].content.startswith("4 ")
    assert tree[os.fsdecode(odd)].content.startswith("3 ")


def test_xattrs_and_capabilities(store):
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    (chain,) = store.unpack(
        archive(
            directory("./"),
            directory("d", pax={"SCHILY.xattr.user.on-directory": "yes"}),
            member(
                "f",
                b"x",
                mode=0o755,
                pax={
                    "SCHILY.xattr.user.plain": b"\0\xff=\n",
                    "SCHILY.xattr.user.empty": "",
                    "SCHILY.xattr.security.capability": capability,
                    "SCHILY.xattr.trusted.secret": "kept beside",
                    "SCHILY.xattr.user.overlay.opaque": "y",
                    "SCHILY.xattr.user.overlay.redirect": "/etc",
                    "SCHILY.xattr.trusted.overlay.redirect": "/etc",
                    "SCHILY.xattr.user.containers.override_stat": "5:5:0777",
                    "SCHILY.xattr.security.selinux": "label",
                },
            ),
        )
    )
    layer = store.layer(chain)
    xattrs = dict(layer["f"].xattrs)
    assert xattrs == {
        "user.plain": b"\0\xff=\n",
        "user.empty": b"",
        "security.capability": capability,
        "user.rootless.xattr.trusted.secret": b"kept beside",
    }
    assert dict(layer["d"].xattrs) == {"user.on-directory": b"yes"}
    assert dict(store.tree((chain,))["f"].xattrs)["security.capability"] == capability
    hidden = store.unpack(
        BASE, archive(directory("d", pax={"SCHILY.xattr.user.overlay.opaque": "y"}))
    )
    assert "d/x" in store.tree(hidden), "an image cannot write overlay's own marks"


def test_owners(store):
    content = archive(
        directory("./"),
        member("fits", b"f", uid=1000, gid=100, mode=0o755),
        member("far", b"f", uid=3_000_000, gid=3_000_001, mode=0o6755),
        directory("fardir", uid=4_000_000),
        symlink("farlink", "fits", uid=3_000_000),
        member("farfifo", kind=tars.FIFO, gid=3_000_000),
    )
    (chain,), (unpacked,) = store.unpack_noticed(content)
    layer = store.layer(chain)
    assert (layer["far"].uid, layer["far"].gid) == (0, 0)
    assert layer["far"].mode == 0o755, "setuid is not given to another owner"
    assert dict(layer["far"].xattrs)["user.containers.override_stat"] == b"3000000:3000001:6755"
    assert dict(layer["fardir"].xattrs)["user.containers.override_stat"] == b"4000000:0:0755"
    assert layer["farlink"].uid == 0
    (notice,) = unpacked.notices
    if store.id_map.is_single:
        assert dict(layer["fits"].xattrs)["user.containers.override_stat"] == b"1000:100:0755"
        assert "/fits (owner 1000:100) and 4 other files" in notice
    else:
        assert (layer["fits"].uid, layer["fits"].gid) == (1000, 100)
        assert "/far (owner 3000000:3000001) and 3 other files" in notice
    record = store.layers._store.record(chain)
    assert record["kept"]["farlink"] == "3000000:0:0777"
    assert record["kept"]["farfifo"] == "0:3000000:0644"


def test_a_group_is_not_inherited_from_a_directory_with_the_set_group_id_bit(ranged):
    (chain,) = ranged.unpack(
        archive(
            directory("./", 0o2755, gid=3),
            directory("mail", 0o2775, gid=8),
            member("mail/root"),
            directory("mail/d"),
            symlink("mail/l", "root"),
            member("mail/implicit/f"),
            hard_link("mail/h", "mail/root"),
        )
    )
    tree = ranged.tree((chain,))
    assert {path: (node.gid, oct(node.mode)) for path, node in tree.items() if path != "."} == {
        "mail": (8, "0o2775"),
        "mail/root": (0, "0o644"),
        "mail/d": (0, "0o755"),
        "mail/l": (0, "0o777"),
        "mail/implicit": (0, "0o755"),
        "mail/implicit/f": (0, "0o644"),
        "mail/h": (0, "0o644"),
    }


def test_device_nodes_become_empty_files_with_a_record(store):
    (chain,) = store.unpack(
        archive(
            directory("dev"),
            member("dev/null", kind=tars.CHARACTER, mode=0o666, device=(1, 3)),
            member("dev/sda", kind=tars.BLOCK_DEVICE, mode=0o660, gid=6, device=(8, 0)),
            member("dev/whiteout?", kind=tars.CHARACTER, device=(0, 0)),
        )
    )
    layer = store.layer(chain)
    assert layer["dev/null"].kind == "file"
    assert dict(layer["dev/null"].xattrs)["user.containers.override_stat"] == b"0:0:0666:char-1-3"
    assert dict(layer["dev/sda"].xattrs)["user.containers.override_stat"] == b"0:6:0660:block-8-0"
    assert layer["dev/whiteout?"].kind == "file"


def test_compressed_layers_from_a_pipe_and_several_at_once(ranged):
    archives = [archive(member(f"f{n}", b"%d" % n * 100_000)) for n in range(12)]
    chain = ranged.unpack(*archives, compression="gzip")
    assert names(ranged.tree(chain)) == {f"f{n}" for n in range(12)}
    assert ranged.leftovers() == []


def test_children_may_come_before_their_parents(ranged):
    low, high = BASE, archive(hard_link("x", "etc/a"))
    base, top = ranged.unpack(low, high)
    ranged.layers.remove(ranged.paths.layers)
    with ranged.layers.unpacker() as unpacker:
        for content, chain, parent in ((high, top, base), (low, base, None)):
            fd = os.memfd_create("layer")
            os.write(fd, content)
            os.lseek(fd, 0, os.SEEK_SET)
            unpacker.submit(
                fd, compression="none", chain_id=chain, parent=parent, diff_id=tars.diff_id(content)
            )
            os.close(fd)
        assert {each.chain_id for each in unpacker.wait()} == {base, top}
    assert "x" in ranged.tree((base, top))


def test_a_missing_parent_is_an_error_and_not_a_hang(ranged):
    content = archive(member("f"))
    with ranged.layers.unpacker() as unpacker, pytest.raises(StoreFailed, match="parent"):
        fd = os.memfd_create("layer")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        unpacker.submit(
            fd,
            compression="none",
            chain_id="sha256:" + "1" * 64,
            parent="sha256:" + "2" * 64,
            diff_id=tars.diff_id(content),
        )
        os.close(fd)
        unpacker.wait()
    assert ranged.leftovers() == []


def test_a_tree_deeper_than_there_are_descriptors_can_be_removed(ranged):
    bundle = ranged.bundle()

    def dig() -> None:
        os.chdir(bundle)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")

    from rootless.userns import enter

    enter.call(dig, ranged.id_map)
    ranged.layers.remove(bundle)
    assert not os.path.exists(bundle)
    assert ranged.leftovers() == []
