"""Layers appear whole: processes that race, are killed, or run out of disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from rootless import files
from rootless.errors import StoreFailed
from rootless.kernel import mount
from rootless.storage.layer_tar import UnpackRequest, unpack
from rootless.storage.stack import Stack
from rootless.userns import enter
from tests.support import tars
from tests.support.cli import CHECKOUT
from tests.support.tars import archive, directory, hard_link, member

LAYERS = (
    archive(directory("d"), *(member(f"d/{n}", os.urandom(5_000)) for n in range(400))),
    archive(hard_link("top", "d/7"), *(member(f"e/{n}", b"%d" % n) for n in range(400))),
)
UNPACK = """
import sys
sys.path.insert(0, {checkout!r})
from tests.support.stores import Store
store = Store({home!r}, {driver!r})
print("ready", flush=True)
sys.stdin.readline()
store.unpack(*(open(path, "rb").read() for path in {paths!r}))
"""


@pytest.fixture
def process(ranged, tmp_path):
    """Start a process that waits for a line and then unpacks LAYERS into the store."""
    paths = []
    for number, layer in enumerate(LAYERS):
        paths.append(str(tmp_path / f"layer{number}"))
        with open(paths[-1], "wb") as file:
            file.write(layer)
    home = os.path.dirname(ranged.paths.data)
    code = UNPACK.format(checkout=CHECKOUT, home=home, driver=ranged.driver.name, paths=paths)

    def start() -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        return child

    return start


def go(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin
    child.stdin.write(b"\n")
    child.stdin.flush()


def test_processes_that_unpack_the_same_layers_do_not_disturb_each_other(ranged, process):
    children = [process() for _ in range(4)]
    for child in children:
        go(child)
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    chain = ranged.unpack(*LAYERS)
    assert len(ranged.tree(chain)) == 804
    assert ranged.leftovers() == []


def test_a_killed_process_leaves_nothing_that_is_believed(ranged, process):
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(12):
        child = process()
        go(child)
        time.sleep(moments.uniform(0, 0.12))
        child.send_signal(signal.SIGKILL)
        child.wait()
        deadline = time.monotonic() + 10
        while any(_locked(f"{ranged.paths.scratch}/{each}") for each in _scratch(ranged)):
            assert time.monotonic() < deadline, f"seed {seed}: a worker outlives its caller"
            time.sleep(0.01)
    whole = ranged.unpack(*LAYERS)
    assert len(ranged.tree(whole)) == 804, f"seed {seed}"
    for each in _scratch(ranged):
        ranged.layers.remove(f"{ranged.paths.scratch}/{each}")
    assert ranged.leftovers() == []


def _scratch(store) -> list[str]:
    return os.listdir(store.paths.scratch) if os.path.isdir(store.paths.scratch) else []


def _locked(path: str) -> bool:
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_a_layer_that_a_power_cut_may_have_damaged_is_made_again(ranged):
    base = ranged.unpack(LAYERS[0])
    marker = f"{os.path.dirname(ranged.layers.path(base[0]))}/unsynced"
    assert not os.path.exists(marker), "what unpack waited for is on the disk"
    bundle = ranged.bundle()
    rootfs = ranged.driver.rootfs(base, bundle)
    ranged.in_rootfs(rootfs, lambda root: os.mkdir(f"{root}/new"))
    made = ranged.layers.commit(
        rootfs, bundle=bundle, parent=base[-1], output=f"{ranged.paths.data}/blob"
    )
    marker = f"{os.path.dirname(ranged.layers.path(made.chain_id))}/unsynced"
    assert os.path.exists(marker)
    assert ranged.layers.has(made.chain_id)
    files.write_atomic(marker, b"another boot")
    assert not ranged.layers.has(made.chain_id)
    with open(f"{ranged.paths.data}/blob", "rb") as file, ranged.layers.unpacker() as unpacker:
        unpacker.submit(
            file.fileno(),
            compression="gzip",
            chain_id=made.chain_id,
            parent=base[-1],
            diff_id=made.diff_id,
        )
        unpacker.wait()
    assert ranged.layers.has(made.chain_id)
    assert "new" in ranged.tree((*base, made.chain_id))


def test_sync_makes_committed_layers_last(ranged):
    base = ranged.unpack(LAYERS[0])
    bundle = ranged.bundle()
    rootfs = ranged.driver.rootfs(base, bundle)
    ranged.in_rootfs(rootfs, lambda root: os.mkdir(f"{root}/new"))
    made = ranged.layers.commit(
        rootfs, bundle=bundle, parent=base[-1], output=f"{ranged.paths.data}/blob"
    )
    ranged.layers.sync()
    directory = os.path.dirname(ranged.layers.path(made.chain_id))
    assert sorted(os.listdir(directory)) == ["diff", "layer.json"]
    assert ranged.layers.has(made.chain_id)


def test_a_full_disk_is_said_and_the_last_of_it_is_kept_free(ranged, tmp_path):
    content = archive(*(member(f"f{n}", os.urandom(1 << 20)) for n in range(100)))
    target = str(tmp_path / "small")
    os.mkdir(target)

    def work() -> int:
        mount.mount("tmpfs", target, "tmpfs", 0, "size=100m,mode=755")
        os.mkdir(f"{target}/diff")
        fd = os.memfd_create("layer")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        request = UnpackRequest(
            fd, "none", tars.diff_id(content), ranged.layers.form.whiteouts, ranged.id_map
        )
        try:
            unpack(request, f"{target}/diff", lambda: Stack(()))
        except StoreFailed as error:
            assert "full" in error.message
            space = os.statvfs(target)
            return space.f_bavail * space.f_frsize
        return -1

    free = enter.call(work, ranged.id_map, mount_namespace=True)
    assert free > 0
