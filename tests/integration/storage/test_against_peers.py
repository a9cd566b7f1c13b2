"""The trees that we unpack and those of podman and umoci, entry by entry.

Both peers run inside podman's user namespace, whose ids are ours: owners are compared as they are.
"""

from __future__ import annotations

import json
import struct
import sys
import tarfile

import pytest

from tests.conftest import require
from tests.support import oci, tars
from tests.support.cli import CHECKOUT
from tests.support.images import busybox_layer, debian_archive
from tests.support.stores import Node, Store, Tree
from tests.support.tars import archive, directory, hard_link, member, opaque, symlink, whiteout

LIST = (
    "import sys, json; sys.path.insert(0, {checkout!r}); from tests.support.stores import listing;"
    "print(json.dumps([[*row[:-1], [(n, v.hex()) for n, v in row[-1]]] for row in listing({root!r})]))"
)


def tree_of(lines: str) -> Tree:
    return {
        path: Node(*fields, xattrs=tuple((name, bytes.fromhex(value)) for name, value in xattrs))  # type: ignore[misc]
        for path, *fields, xattrs in json.loads(lines)
    }


def by_podman(podman, layout: oci.Layout) -> Tree:
    """What a container of podman would see."""
    image = podman("pull", "-q", f"oci:{layout.path}:image").strip()
    # A range of ids of the user alone: the map of the user namespace is podman's and ours.
    root = podman("unshare", "podman", "image", "mount", image).strip()
    return tree_of(
        podman("unshare", sys.executable, "-c", LIST.format(checkout=CHECKOUT, root=root))
    )


def by_umoci(podman, layout: oci.Layout, directory: str) -> Tree:
    """What umoci unpacks as root of the same user namespace."""
    bundle = f"{directory}/bundle"
    podman("unshare", "umoci", "unpack", "--image", f"{layout.path}:image", bundle)
    code = LIST.format(checkout=CHECKOUT, root=f"{bundle}/rootfs")
    tree = tree_of(podman("unshare", sys.executable, "-c", code))
    podman("unshare", "rm", "-rf", bundle)
    return tree


def ours(store: Store, *layers: bytes) -> Tree:
    return store.tree(store.unpack(*layers, compression="gzip"))


def layout_of(path, *layers: bytes) -> oci.Layout:
    layout = oci.Layout(str(path))
    layout.tag("image", layout.image(*layers))
    return layout


def differences(one: Tree, other: Tree) -> dict[str, tuple[object, object]]:
    return {
        path: (one.get(path), other.get(path))
        for path in sorted(set(one) | set(other))
        if one.get(path) != other.get(path)
    }


def without_devices(tree: Tree, devices: set[str]) -> Tree:
    """Each tool has its own stand-in for a device node: podman nothing, umoci a file, we a record."""
    return {path: node for path, node in tree.items() if path not in devices}


@pytest.fixture
def peers(podman, new_store, tmp_path):
    require("umoci")

    def compare(*layers: bytes, devices: set[str] = frozenset(), umoci: bool = True) -> None:  # type: ignore[assignment]
        layout = layout_of(tmp_path / "layout", *layers)
        # podman's root directory has a mode and a time of its own.
        theirs = without_devices(by_podman(podman, layout), devices | {"."})
        for driver in ("overlay", "vfs"):
            tree = without_devices(ours(new_store(driver), *layers), devices)
            assert differences(without_devices(tree, {"."}), theirs) == {}, (
                f"{driver} against podman"
            )
        if umoci:
            theirs = without_devices(by_umoci(podman, layout, str(tmp_path)), devices)
            assert differences(tree, theirs) == {}, "vfs against umoci"

    return compare


def test_busybox(peers):
    require("busybox")
    peers(busybox_layer())


def test_debian(peers):
    require("mmdebstrap")
    path = debian_archive()
    with open(path, "rb") as file:
        content = file.read()
    with tarfile.open(path) as tar:
        devices = {each.name.removeprefix("./") for each in tar if each.ischr() or each.isblk()}
    peers(content, devices=devices)


def test_whiteouts_and_opaque_directories(peers):
    base = archive(
        directory("./", mtime=9),
        *(directory(f"d{n}", 0o750, uid=n, mtime=n) for n in range(4)),
        *(member(f"d{n}/f{m}", b"%d" % m, gid=m) for n in range(4) for m in range(3)),
        directory("d1/sub"),
        member("d1/sub/x", b"x"),
        member("f", b"f"),
        symlink("s", "f"),
    )
    upper = archive(
        directory("./", mtime=9),
        directory("d0", 0o700, mtime=50),
        whiteout("d0/f1"),
        directory("d1", 0o755, mtime=51),
        opaque("d1"),
        member("d1/new", b"new"),
        whiteout("d2"),
        whiteout("f"),
        directory("d3", 0o1777, mtime=53),
        member("d3/f0", b"changed", mode=0o4755, uid=7),
    )
    again = archive(
        directory("./", mtime=9),
        directory("d2", 0o711, mtime=60),
        member("d2/back", b"back"),
        member("f", b"also back"),
        whiteout("s"),
    )
    peers(base, upper, again)


def test_files_over_directories_and_back(peers):
    peers(
        archive(
            directory("./", mtime=9),
            directory("a", mtime=1),
            directory("a/b", mtime=1),
            member("a/b/c", b"c"),
            member("f", b"f"),
            symlink("l", "a"),
        ),
        archive(
            directory("./", mtime=9),
            member("a", b"a file"),
            directory("f", 0o700, mtime=2),
            member("f/x", b"x"),
            directory("l", mtime=2),
            member("l/y", b"y"),
        ),
        archive(
            directory("./", mtime=9),
            directory("a", 0o701, mtime=3),
            member("a/new", b"n"),
            symlink("f", "a/new"),
        ),
    )


def test_links_names_sparse_files_and_attributes(peers):
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    long = "/".join(["component" * 12] * 8)
    size = 1 << 20
    peers(
        archive(
            directory("./", mtime=9),
            directory("bin", mtime=1),
            member("bin/one", b"one", mode=0o755, mtime=2),
            # podman takes the attributes of the link's own header, umoci and we those of the file.
            hard_link("bin/two", "bin/one", mode=0o755, mtime=2),
            symlink("bin/abs", "/bin/one", mtime=3),
            symlink("bin/dangling", "../../../nowhere", mtime=3),
            *(
                directory(long[:end], mtime=4, pax={"path": long[:end]})
                for end in [at for at, c in enumerate(long) if c == "/"]
            ),
            member("cut", b"long name", pax={"path": long}),
            member("\u00fcml\u00e4ut \u2603", b"unicode"),
            member("sparse", b"A" * 512,
                   pax={"GNU.sparse.numblocks": "1", "GNU.sparse.map": "524288,512", "GNU.sparse.size": str(size)}),
            member("pipe", kind=tars.FIFO, mode=0o640, gid=5),
            member("suid", b"s", mode=0o4755, uid=1000),
            member("sgid", b"s", mode=0o2755, gid=42),
            directory("sticky", 0o1777, mtime=5),
            directory("setgid", 0o2775, gid=50, mtime=5),
            member("caps", b"c", mode=0o755, pax={"SCHILY.xattr.security.capability": capability}),
            member("attrs", b"a", pax={"SCHILY.xattr.user.one": b"\0\1=\n", "SCHILY.xattr.user.two": "x"}),
            member("old", b"o", mtime=0),
            member("future", b"f", mtime=2**33),
        )
    )  # fmt: skip


def test_hard_links_and_parents_through_links_of_the_layer(peers):
    peers(
        archive(
            directory("./", mtime=9),
            directory("usr", mtime=9),
            directory("usr/bin", mtime=9),
            symlink("bin", "usr/bin", mtime=9),
            member("bin/tool", b"tool", mode=0o755),
            hard_link("usr/again", "usr/bin/tool", mode=0o755),
        )
    )
