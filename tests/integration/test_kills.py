"""kill -9 at any moment: no broken image, no process, mount or cgroup stays; the next command works.

Moments are random; the seed is printed with a failure.
"""

from __future__ import annotations

import hashlib
import os
import random
import time

import pytest

from tests.support import oci
from tests.support.images import busybox_layer
from tests.support.processes import running, using
from tests.support.waiting import wait_until

SEED = int(os.environ.get("ROOTLESS_TEST_SEED", time.time_ns() % 1_000_000))
ROUNDS = int(os.environ.get("ROOTLESS_TEST_KILLS", "6"))


@pytest.fixture(scope="module")
def big_image(images, tmp_path_factory):
    """Enough to be pulled for a noticeable time."""
    layout = oci.Layout(str(tmp_path_factory.mktemp("big")))
    layers = []
    for number in range(4):
        entries = [oci.Entry(f"l{number}/{each}", os.urandom(20_000)) for each in range(200)]
        layers.append(oci.tar_of(*entries))
    return images.push(layout, layout.image(busybox_layer(), *layers), "kills:latest")


def kill_in_the_middle(rootless, argv, duration_s, generator):
    """Start a command and kill it; how long it was let run, for the report."""
    process = rootless.start(*argv)
    delay = generator.uniform(0.01, duration_s)
    try:
        process.wait(timeout=delay)
    except Exception:  # it still runs: that is the point
        process.kill()
    process.communicate()
    return delay


def leftovers(rootless):
    """Processes of this store, and what lies unfinished in it."""
    left = using(rootless.home)
    scratch = f"{rootless.home}/data/scratch"
    left += os.listdir(scratch) if os.path.isdir(scratch) else []
    return left


def test_killed_pulls_leave_no_broken_image(new_store, big_image):
    generator = random.Random(SEED)
    reference_time = new_store()("pull", "-q", big_image).seconds
    for number in range(ROUNDS):
        rootless = new_store()
        delay = kill_in_the_middle(rootless, ("pull", "-q", big_image), reference_time, generator)
        report = f"seed {SEED}, round {number}, killed after {delay:.3f} s"
        wait_until(lambda r=rootless: not using(r.home), f"helpers to end: {report}")
        shown = rootless("images", "-q").stdout.split()
        rootless("pull", "-q", big_image)
        line = ("run", "--rm", "--network", "none", big_image, "sh", "-c", "cat /l?/* | wc -c")
        assert rootless(*line).stdout.strip() == str(4 * 200 * 20_000), f"{report}, before: {shown}"
        assert leftovers(rootless) == [], report


def test_killed_builds_leave_nothing_that_breaks_the_next(new_store, images, tmp_path):
    generator = random.Random(SEED + 1)
    (tmp_path / "file").write_bytes(os.urandom(500_000))
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.busybox}\nRUN dd if=/dev/zero of=/a bs=1M count=20 2>/dev/null\n"
        'COPY file /b\nRUN cat /b > /c && sleep 0.2\nRUN cmp /b /c\nCMD ["ls"]\n'
    )
    rootless = new_store()
    rootless("pull", "-q", images.busybox)
    reference = new_store()
    reference("pull", "-q", images.busybox)
    duration = reference("build", "-q", str(tmp_path)).seconds
    for number in range(ROUNDS):
        argv = ("build", "-q", "-t", f"kill:{number}", str(tmp_path))
        delay = kill_in_the_middle(rootless, argv, duration, generator)
        report = f"seed {SEED}, round {number}, killed after {delay:.3f} s"
        wait_until(lambda: not using(rootless.home), f"helpers to end: {report}")
    rootless("build", "-q", "-t", "whole", str(tmp_path))
    line = ("run", "--rm", "--network", "none", "whole", "cmp", "/b", "/c")
    rootless(*line)
    rootless(
        "run", "--rm", "--network", "none", "whole", "sh", "-c", "test $(wc -c </a) = 20971520"
    )
    assert leftovers(rootless) == [], f"seed {SEED}"


@pytest.mark.show
def test_a_hundred_killed_builds_never_poison_the_cache(new_store, images, tmp_path):
    """Every build after a kill makes what was meant, from the cache or not."""
    generator = random.Random(SEED + 4)
    rootless = new_store()
    rootless("pull", "-q", images.busybox)
    duration = 0.5
    for number in range(100):
        salt = generator.randrange(10**9)
        (tmp_path / "file").write_bytes(generator.randbytes(200_000))
        (tmp_path / "Dockerfile").write_text(
            f"FROM {images.busybox} AS one\nCOPY file /b\n"
            f"RUN for i in 1 2 3; do cp /b /$i; done; echo {salt} > /salt\nRUN rm /1 && mv /2 /four\n"
            f"FROM {images.busybox}\nWORKDIR /w\nCOPY --from=one /b /3 /four /salt ./\n"
            "RUN --mount=type=cache,target=/c cat b > /c/last && cp /c/last ./cached\n"
        )
        argv = ("build", "-q", "--network=none", "-t", "whole", str(tmp_path))
        delay = kill_in_the_middle(rootless, argv, duration, generator)
        report = f"seed {SEED}, round {number}, killed after {delay:.3f} s"
        wait_until(lambda: not using(rootless.home), f"helpers to end: {report}")
        duration = max(duration, rootless(*argv).seconds)
        line = "cmp b 3 && cmp b four && cmp b cached && cat salt && ls && md5sum < b"
        shown = rootless("run", "--rm", "--network=none", "whole", "sh", "-c", line).stdout.split()
        expected = hashlib.md5((tmp_path / "file").read_bytes(), usedforsecurity=False).hexdigest()
        assert shown == [str(salt), "3", "b", "cached", "four", "salt", expected, "-"], report
        assert leftovers(rootless) == [], report


def test_a_killed_run_takes_its_container_along(fresh_rootless, images):
    fresh_rootless("pull", "-q", images.busybox)
    generator = random.Random(SEED + 2)
    for number in range(ROUNDS):
        marker = f"sleep 8{generator.randrange(10**6):06}"
        argv = ("run", "--rm", "--name", "killed", images.busybox, *marker.split())
        process = fresh_rootless.start(*argv)
        wait_until(lambda m=marker: running(m), f"the start of {marker}")
        if number % 2:
            time.sleep(generator.uniform(0, 0.1))
        process.kill()
        process.communicate()
        wait_until(lambda m=marker: not running(m), f"the end of {marker}, seed {SEED}")
        wait_until(lambda: not using(fresh_rootless.home), "helpers to end")
        # The name was left claimed; whoever comes next cleans up.
        listed = fresh_rootless("ps", "-a").stdout
        assert "Up" not in listed, listed
        fresh_rootless("rm", "-f", "killed", check=False)
    argv = ("run", "--rm", "--name", "killed", "--network", "none", images.busybox, "echo", "fine")
    assert fresh_rootless(*argv).stdout == "fine\n"
    assert fresh_rootless("ps", "-aq").stdout == ""


def test_a_run_killed_at_any_moment_of_its_start(fresh_rootless, images):
    fresh_rootless("pull", "-q", images.busybox)
    generator = random.Random(SEED + 3)
    argv = ("run", "--rm", "--network", "none", images.busybox, "sleep", "0.05")
    duration = fresh_rootless(*argv).seconds
    for _ in range(ROUNDS * 3):
        kill_in_the_middle(fresh_rootless, argv, duration, generator)
    wait_until(lambda: not using(fresh_rootless.home), f"everything to end, seed {SEED}")
    fresh_rootless(*argv)
    fresh_rootless("ps", "-a")
    assert leftovers(fresh_rootless) == [], f"seed {SEED}"


def sweep(rootless, image, archive, rounds, seed):
    """Kill pull, load and prune ``rounds`` times each in one store; it is clean after every one."""
    generator = random.Random(seed)
    pull, load = ("pull", "-q", image), ("load", "-q", "-i", archive)
    prune = ("image", "prune", "-a", "-f")
    durations = {argv: rootless(*argv).seconds for argv in (pull, prune, load)}
    interrupted = 0
    for number in range(rounds):
        for argv in (prune, pull, prune, load):
            if argv is prune and number % 3:
                rootless(*load)  # so that there is something to prune
            delay = kill_in_the_middle(rootless, argv, durations[argv] * 1.1, generator)
            report = f"{argv[0]}, seed {seed}, round {number}, killed after {delay:.3f} s"
            wait_until(lambda: not using(rootless.home), f"helpers to end: {report}")
            checked = rootless("system", "check", check=False)
            assert checked.exit_code == 0, f"{report}\n{checked}"
            interrupted += "left over" in checked.stdout
    return interrupted


def end_of_sweep(rootless, image):
    """What was left over goes, and the image works."""
    rootless("system", "prune", "-a", "-f")
    assert rootless("system", "check").stdout == "Clean: nothing is stored\n"
    rootless("pull", "-q", image)
    rootless("run", "--rm", "--network", "none", image, "cat", "/l3/199")
    assert rootless("system", "check").stdout.startswith("Clean: 1 images, 7 blobs, 5 layers")
    assert leftovers(rootless) == []


@pytest.fixture(scope="module")
def big_archive(new_store, big_image, tmp_path_factory):
    rootless = new_store()
    rootless("pull", "-q", big_image)
    path = str(tmp_path_factory.mktemp("archive") / "big.tar")
    rootless("save", "-o", path, big_image)
    return path


def test_a_killed_pull_load_or_prune_leaves_a_clean_store(new_store, big_image, big_archive):
    rootless = new_store()
    sweep(rootless, big_image, big_archive, 2, SEED + 4)
    end_of_sweep(rootless, big_image)


@pytest.mark.show
def test_a_hundred_kills_of_pull_load_and_prune_leave_a_clean_store(
    new_store, big_image, big_archive
):
    rootless = new_store()
    interrupted = sweep(rootless, big_image, big_archive, 25, SEED + 5)
    assert interrupted > 10, f"seed {SEED + 5}"  # else the kills came too late
    end_of_sweep(rootless, big_image)
