"""What stands in for a limit where no cgroup enforces it."""

from __future__ import annotations

import pytest

from rootless.runtime.best_effort import substitute
from rootless.runtime.cgroup import Limit


@pytest.mark.parametrize(
    ("file", "value", "label"),
    [
        ("memory.max", "1048576", "best effort: a watchdog ends the container above 1048576 bytes"),
        ("cpu.max", "50000 100000", "best effort: affinity to 1 of the processors"),
        ("cpu.max", "250000 100000", "best effort: affinity to 3 of the processors"),
        ("cpuset.cpus", "0-1", "best effort: affinity to processors 0-1"),
        ("cpu.weight", "1", "best effort: nice 19"),
        ("pids.max", "9", "best effort: RLIMIT_NPROC 9 for each user of the container"),
        ("cpu.weight", "1000", "unavailable"),
        ("cpu.max", "max 100000", "unavailable"),
        ("io.max", "8:0 rbps=1", "unavailable"),
        ("memory.low", "5", "unavailable"),
    ],
)
def test_each_limit_has_a_label_that_does_not_promise_too_much(file, value, label):
    found = substitute(Limit(file, value, "--flag"))
    assert found.label.startswith(label)
    assert ("unavailable" in found.label) == (found.apply is None and not found.memory_bytes)
