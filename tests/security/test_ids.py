"""Row 30: containers with an id range of their own share no id of the host with each other."""

from __future__ import annotations

import itertools
import os
import re
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Rootless

MANY = 5


def host_ranges(rootless: Rootless, name: str, kind: str) -> list[range]:
    """The host's ids that a running container can be, as the kernel says."""
    pid = rootless("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    with open(f"/proc/{pid}/{kind}_map", encoding="ascii") as file:
        fields = [[int(number) for number in line.split()] for line in file]
    return [range(outside, outside + size) for _, outside, size in fields]


def overlap(one: list[range], other: list[range]) -> bool:
    return any(
        max(a.start, b.start) < min(a.stop, b.stop) for a, b in itertools.product(one, other)
    )


def test_row_30_ranges_of_their_own_never_overlap(
    rootless: Rootless, busybox: str, needs_subids: None, needs_fuse: None
):
    """Started at the same moment, which is when two might take the same."""
    names = [f"row30-{number}" for number in range(MANY)]
    run = ("run", "-d", "--network=none", "--userns=auto:size=1024")
    try:
        starting = [rootless.start(*run, "--name", name, busybox, "sleep", "600") for name in names]
        for process in starting:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
        for kind in ("uid", "gid"):
            ranges = {name: host_ranges(rootless, name, kind) for name in names}
            for one, other in itertools.combinations(names, 2):
                assert not overlap(ranges[one], ranges[other]), (kind, ranges)
            # Nor is anybody in there the caller.
            own = os.getuid() if kind == "uid" else os.getgid()
            assert not any(own in each for found in ranges.values() for each in found)
            assert all(sum(map(len, found)) == 1024 for found in ranges.values())
        # One that has stopped comes back to ids that are still its own.
        before = host_ranges(rootless, names[0], "uid")
        rootless("stop", "-t", "0", names[0])
        rootless(*run, "--name", "row30-late", busybox, "sleep", "600")
        rootless("start", names[0])
        assert host_ranges(rootless, names[0], "uid") == before
        late = host_ranges(rootless, "row30-late", "uid")
        for name in names:
            assert not overlap(late, host_ranges(rootless, name, "uid")), name
    finally:
        rootless("rm", "-f", "-t", "0", *names, "row30-late", check=False)


def test_row_30_what_does_not_fit_is_refused(
    rootless: Rootless, busybox: str, needs_subids: None, needs_fuse: None
):
    """An error and no overlap, also where the range is not used up by one alone."""
    run = ("run", "--network=none", "--userns=auto:size=40000")
    rootless(*run, "-d", "--name=row30-first", busybox, "sleep", "600")
    try:
        said = rootless.fails(*run, "--rm", busybox, "true")
        assert re.search("range|ids", said), said
        rootless.fails("run", "--rm", "--network=none", "--userns=auto:size=70000", busybox, "true")
    finally:
        rootless("rm", "-f", "-t", "0", "row30-first")
    rootless(*run, "--rm", busybox, "true")


def test_row_30_one_cannot_touch_the_others_files(
    rootless: Rootless, busybox: str, tmp_path: Path, needs_subids: None, needs_fuse: None
):
    """Also where a directory is shared on purpose, and root in both looks alike."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    run = ("--network=none", "--userns=auto:size=1024", "-v", f"{shared}:/shared")
    script = "umask 077; echo mine > /shared/one; id -u > /shared/ready; exec sleep 600"
    try:
        rootless("run", "-d", *run, "--name=row30-one", busybox, "sh", "-c", script)
        wait_until((shared / "ready").exists, "the first file")
        other = "id -u; cat /shared/one; echo x >> /shared/one; mv /shared/one /shared/two; rm -f /shared/one"
        answer = rootless("run", "--rm", *run, busybox, "sh", "-c", other, check=False)
        assert answer.stdout == "0\n"  # root, and yet
        assert rootless("exec", "row30-one", "cat", "/shared/one").stdout == "mine\n"
        assert sorted(os.listdir(shared)) == ["one", "ready"]
        assert (shared / "one").stat().st_uid not in (0, os.getuid())
    finally:
        rootless("rm", "-f", "-t", "0", "row30-one")
