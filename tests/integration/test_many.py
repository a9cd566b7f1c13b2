"""Many containers at once: each does its own, none gets in another's way, and nothing of them stays."""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import named, using
from tests.support.waiting import wait_until

AT_ONCE = 8


def stored(home):
    """Every path below a store that belongs to a container, or is unfinished or thrown away."""
    roots = ("data/containers", "data/names", "data/scratch", "data/trash", "run")
    found = set()
    for root in roots:
        for directory, names, files in os.walk(f"{home}/{root}"):
            found.update(f"{directory}/{name}" for name in (*names, *files))
    return {path for path in found if not path.endswith("run/containers")}


def disk_bytes(home):
    """What the store takes, locks and all."""
    total = 0
    for directory, _, files in os.walk(home):
        total += sum(os.lstat(f"{directory}/{name}").st_blocks * 512 for name in files)
    return total


class Lister:
    """Lists all the time, beside everything else; what it saw must always have been whole."""

    def __init__(self, rootless):
        self._rootless = rootless
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rounds = 0
        self.most = 0
        self.failures = []

    def _run(self):
        while not self._ended.is_set():
            result = self._rootless("ps", "-a", "--format", "json", check=False)
            if result.exit_code:
                self.failures.append(str(result))
                continue
            self.rounds += 1
            self.most = max(self.most, len(json.loads(result.stdout or "[]")))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.show)])
def test_containers_started_listed_entered_and_removed_at_once_leave_nothing(
    fresh_rootless, images, count
):
    rootless = fresh_rootless
    rootless("run", "--rm", images.busybox, "true")
    names = [f"many-{number}" for number in range(count)]
    files, disk = stored(rootless.home), disk_bytes(rootless.home)
    program = "echo $0 is up; sleep 4711"

    def start(name):
        rootless("run", "-d", "--name", name, images.busybox, "sh", "-c", program, name)
        written = rootless("exec", name, "sh", "-c", f"echo {name} > /own; cat /own; hostname")
        text, host = written.stdout.split()
        return text, host, rootless("logs", name).stdout

    with Lister(rootless) as lister, ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(start, names))
        assert [each[0] for each in answers] == names
        assert len({each[1] for each in answers}) == count, "each has a host name of its own"
        wait_until(
            lambda: (
                [rootless("logs", name).stdout for name in names]
                == [f"{name} is up\n" for name in names]
            ),
            "the output of each in its own log",
        )
        listed = rootless("ps", "-q", "--filter", "status=running").stdout.split()
        assert len(listed) == len(set(listed)) == count
        list(pool.map(lambda name: rootless("rm", "-f", name), names))
    assert not lister.failures, lister.failures[0]
    assert lister.rounds > 0
    assert lister.most <= count
    assert rootless("ps", "-aq").stdout == ""
    wait_until(lambda: not using(rootless.home) and not named("sleep 4711"), "all to end")
    rootless("ps")  # whoever comes next sweeps what is left
    assert stored(rootless.home) <= files
    assert disk_bytes(rootless.home) <= disk + 200_000
    # Mounts, cgroups and links of all tests are compared at the end of the run (tests/conftest.py).
    sys.stdout.write(
        f"{count} containers, listed {lister.rounds} times, up to {lister.most} at once\n"
    )
