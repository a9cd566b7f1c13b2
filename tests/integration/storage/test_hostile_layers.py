"""security.md row 14: what a layer archive may try, and that it ends inside or nowhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zlib

import pytest

from rootless.errors import ImageRefused
from rootless.storage import layer_tar, tar_reader
from tests.support import tars
from tests.support.cli import CHECKOUT
from tests.support.tars import archive, directory, hard_link, member, symlink, whiteout

REFUSED = {
    "dot dot": [member("../evil", b"x")],
    "dot dot inside": [directory("a"), member("a/../../evil", b"x")],
    "dot dot whiteout": [member("../.wh.outside")],
    "hard link outside": [hard_link("h", "../../../etc/passwd")],
    "hard link through a link": [symlink("l", "/etc"), hard_link("h", "l/passwd")],
    "hard link to a directory": [directory("d"), hard_link("h", "d")],
    "hard link to the root": [hard_link("h", ".")],
    "hard link to itself": [hard_link("h", "h")],
    "file as a parent": [member("f", b"x"), member("f/g", b"x")],
    "link loop": [symlink("a", "b"), symlink("b", "a"), member("a/f", b"x")],
    "link to nowhere": [symlink("a", "nowhere"), member("a/f", b"x")],
    "link to itself": [symlink("a", "a"), member("a/f", b"x")],
    "magic link": [symlink("a", "/proc/self/root/tmp"), member("a/f", b"x")],
    "file as root": [member("./", b"", kind=tars.SYMLINK, link="/etc")],
    "whiteout of nothing": [member(".wh.")],
    "whiteout of dot": [member("a/.wh..")],
    "whiteout of dot dot": [member("a/.wh...")],
    "whiteout as a directory": [member(".wh.a/f", b"x")],
    "long component": [member("x", pax={"path": "c" * 300})],
    "long path": [member("x", pax={"path": "c/" * 4000})],
    "NUL in a name": [member("x", pax={"path": b"a\0b"})],
    "endless pax": [tars.pax_header({"comment": "x" * 500}) * 100 + member("f")],
    "huge pax": [tars.raw_pax(b"x" * 2_000_000) + member("f")],
    "huge sparse": [member("f", b"", pax={"GNU.sparse.map": "", "GNU.sparse.size": "9" * 19})],
    "ends early": [member("f", b"x" * 9000)[:5000]],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_nothing_left(ranged, outside, name):
    content = b"".join(REFUSED[name])
    if name != "ends early":
        content = archive(content)
    with pytest.raises(ImageRefused):
        ranged.unpack(content)
    assert ranged.leftovers() == []
    assert not os.path.exists(ranged.paths.layers) or not any(
        os.listdir(f"{ranged.paths.layers}/{each}") for each in os.listdir(ranged.paths.layers)
    )
    assert os.stat(outside).st_mtime == 1


def test_links_that_lead_outside_are_made_and_never_followed(store, outside, tmp_path):
    target = str(tmp_path)
    deep = "../" * 12 + target.strip("/")
    chain = store.unpack(
        archive(
            symlink("absolute", outside),
            symlink("relative", deep),
            member("absolute", b"a file instead", mtime=5),
            symlink("chained", "relative"),
            symlink("escape", "/"),
            directory(target.strip("/")),
            member("chained/inside", b"1"),
            member("escape/inside", b"2"),
            member("/from-the-root", b"3"),
            whiteout("chained/outside"),
            symlink("last", outside),
        ),
        archive(member("last/", b"", kind=tars.DIRECTORY, mode=0o700, uid=0)),
        archive(member("escape", b"x", mode=0o777)),
    )
    tree = store.tree(chain)
    assert tree["from-the-root"].content.startswith("1 ")
    assert tree["inside"].content.startswith("1 ")
    assert f"{target.strip('/')}/inside" in tree
    assert tree["last"].kind == "directory"
    with open(outside, encoding="ascii") as file:
        assert file.read() == "untouched"
    assert os.stat(outside).st_mtime == 1
    assert os.listdir(tmp_path) == ["outside"]


def test_a_directory_that_becomes_a_link_is_not_written_through(store, outside, tmp_path):
    """The descriptor of a parent that was kept must not outlive the entry it came from."""
    (chain,) = store.unpack(
        archive(
            directory("d"),
            member("d/one", b"1"),
            symlink("d", str(tmp_path)),
            directory(str(tmp_path).strip("/")),
            member("d/two", b"2"),
            directory("e"),
            directory("e/f"),
            member("e/f/one", b"1"),
            symlink("e/f", "/"),
            member("e/f/three", b"3"),
        )
    )
    tree = store.tree((chain,))
    assert "three" in tree
    assert f"{str(tmp_path).strip('/')}/two" in tree
    assert os.listdir(tmp_path) == ["outside"]
    assert os.path.exists(outside)


def test_hard_links_to_symbolic_links_do_not_follow_them(store, outside):
    (chain,) = store.unpack(
        archive(symlink("s", outside), hard_link("h", "s"), member("h", b"new"))
    )
    tree = store.tree((chain,))
    assert tree["s"].content == outside
    assert tree["h"].content.startswith("3 ")


def test_setuid_of_an_owner_that_does_not_fit_is_not_roots(store):
    (chain,) = store.unpack(archive(member("su", b"x", mode=0o6755, uid=2_000_000_000)))
    node = store.layer(chain)["su"]
    assert (node.mode, node.uid) == (0o755, 0)
    path = f"{store.layers.path(chain)}/su"
    assert os.stat(path).st_uid in (os.getuid(), 65534)
    assert not os.stat(path).st_mode & 0o6000


def test_a_layer_is_what_its_diff_id_says_or_nothing(ranged):
    content = archive(member("f", b"x"))
    with ranged.layers.unpacker() as unpacker, pytest.raises(ImageRefused, match="sha256"):
        fd = os.memfd_create("layer")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        unpacker.submit(
            fd,
            compression="none",
            chain_id="sha256:" + "0" * 64,
            parent=None,
            diff_id="sha256:" + "0" * 64,
        )
        os.close(fd)
        unpacker.wait()
    assert ranged.leftovers() == []
    assert not ranged.layers.has("sha256:" + "0" * 64)


def test_damaged_compression_is_refused(ranged):
    for damage in (tars.gzipped(archive(member("f")))[:-9], b"not gzip", b""):
        with ranged.layers.unpacker() as unpacker, pytest.raises(ImageRefused):
            fd = os.memfd_create("layer")
            os.write(fd, damage)
            os.lseek(fd, 0, os.SEEK_SET)
            chain = "sha256:" + "0" * 64
            unpacker.submit(fd, compression="gzip", chain_id=chain, parent=None, diff_id=chain)
            os.close(fd)
            unpacker.wait()
    assert ranged.leftovers() == []


def test_a_pipe_into_a_layer_that_failed_breaks(ranged):
    with ranged.layers.unpacker() as unpacker, pytest.raises(ImageRefused):
        read_end, write_end = os.pipe()
        unpacker.submit(
            read_end,
            compression="none",
            chain_id="sha256:" + "0" * 64,
            parent=None,
            diff_id="sha256:" + "0" * 64,
        )
        os.close(read_end)
        with pytest.raises(BrokenPipeError):
            for _ in range(1000):
                os.write(write_end, archive(member("../evil", b"x" * 10_000)))
        os.close(write_end)
        unpacker.wait()


def test_a_million_entries_are_too_many_when_the_limit_says_so(monkeypatch, ranged):
    limits = tar_reader.Limits(entries=5_000)
    monkeypatch.setitem(layer_tar.UnpackRequest._field_defaults, "limits", limits)
    monkeypatch.setattr(layer_tar.UnpackRequest.__new__, "__defaults__", (limits,))
    content = b"".join(member(f"{n}") for n in range(6_000))
    with pytest.raises(ImageRefused, match="more than 5000 entries"):
        ranged.unpack(archive(content))
    assert ranged.leftovers() == []


BOMB = """
import os, resource, sys
sys.path.insert(0, {checkout!r})
from tests.support.stores import Store
store = Store({home!r}, {driver!r})
fd = os.open({path!r}, os.O_RDONLY)
with store.layers.unpacker() as unpacker:
    unpacker.submit(fd, compression="gzip", chain_id={diff_id!r}, parent=None, diff_id={diff_id!r})
    unpacker.wait()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_bomb_of_zeros_takes_neither_memory_nor_disk(ranged, tmp_path):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    size = 512 << 20
    digest = hashlib.sha256()
    path = str(tmp_path / "bomb")
    zeros = bytes(1 << 20)
    with open(path, "wb") as file:
        for part in (member("zeros", b"", size=size), *[zeros] * (size >> 20), bytes(1024)):
            digest.update(part)
            file.write(packer.compress(part))
        file.write(packer.flush())
    diff_id = f"sha256:{digest.hexdigest()}"
    home = os.path.dirname(ranged.paths.data)
    code = BOMB.format(
        checkout=CHECKOUT, home=home, driver=ranged.driver.name, path=path, diff_id=diff_id
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) < 80 << 10, "KiB, of the largest of our processes"
    status = os.stat(f"{ranged.layers.path(diff_id)}/zeros")
    assert status.st_size == size
    assert status.st_blocks * 512 < 1 << 20


def test_deep_and_repeated_directories_cost_no_time(ranged):
    start = time.monotonic()
    deep = "d/" * 1900
    chain = ranged.unpack(
        archive(
            *(member("cut", pax={"path": f"{deep}f{n}"}) for n in range(200)),
            *(directory("same") for _ in range(5_000)),
        )
    )
    assert time.monotonic() - start < 20
    ranged.layers.remove(ranged.layers.path(chain[0]))
    assert ranged.leftovers() == []
