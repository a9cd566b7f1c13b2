"""Big streams arrive as they were sent, through little memory: ``logs`` and ``exec -i``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest

from tests.support.waiting import wait_until

MIB = 1 << 20
SIZES = [8 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.show)]
# Far below what went through, and above what an interpreter and its buffers need.
MEMORY_MIB = 64
PIECE = 4 * MIB


@pytest.fixture(scope="module")
def piece(tmp_path_factory):
    """4 MiB of every byte there is, and long lines: sent again and again."""
    directory = tmp_path_factory.mktemp("piece")
    (directory / "piece").write_bytes(os.urandom(PIECE - 300_000) + b"x" * 300_000)
    directory.chmod(0o755)
    return directory


def expected(piece, size):
    digest = hashlib.sha256()
    for _ in range(size // PIECE):
        digest.update((piece / "piece").read_bytes())
    return digest.hexdigest()


def digest_of(stream):
    digest, size = hashlib.sha256(), 0
    while content := stream.read(MIB):
        digest.update(content)
        size += len(content)
    return size, digest.hexdigest()


def high_water_mib(pid):
    """The most memory that a process had until now; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            lines = [line for line in file if line.startswith("VmHWM")]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(lines[0].split()[1]) / 1024 if lines else 0


class Watched:
    """Measures a command as long as it runs: what wait4(2) says counts the time before exec, too."""

    def __init__(self, process):
        self._process = process
        self._peak = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self):
        while self._process.poll() is None:
            self._peak = max(self._peak, high_water_mib(self._process.pid))
            time.sleep(0.02)

    def peak_mib(self):
        self._thread.join()
        assert self._process.returncode == 0
        return self._peak


def peak_of_monitor_mib(rootless, name):
    pid = rootless("inspect", "--format", "{{.State.ConmonPid}}", name).stdout.strip()
    return high_water_mib(pid)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_container_writes_comes_out_of_logs_unchanged(rootless, busybox, piece, size):
    count = size // PIECE
    script = f"i=0; while [ $i -lt {count} ]; do cat /in/piece; i=$((i+1)); done; touch /done; cat"
    argv = ("-d", "-i", "--name", "big", "--network", "none", "-v", f"{piece}:/in:ro")
    rootless("run", *argv, busybox, "sh", "-c", script)
    try:
        wait_until(
            lambda: rootless("exec", "big", "test", "-e", "/done", check=False).exit_code == 0,
            "all to be written",
            timeout_s=400,
            pause_s=0.3,
        )
        monitor = peak_of_monitor_mib(rootless, "big")
        reader = rootless.start("logs", "big", stderr=subprocess.DEVNULL)
        watched = Watched(reader)
        assert digest_of(reader.stdout) == (size, expected(piece, size))
        reading = watched.peak_mib()
    finally:
        rootless("rm", "-f", "big")
    sys.stdout.write(
        f"{size // MIB} MiB: monitor {monitor:.0f} MiB, logs {reading:.0f} MiB at most\n"
    )
    assert max(monitor, reading) < MEMORY_MIB


def fed(process, piece, size):
    """Write to a program while its output, which must be the same, is read; its peak of memory in MiB."""
    watched = Watched(process)
    content = (piece / "piece").read_bytes()

    def feed():
        for _ in range(size // PIECE):
            process.stdin.write(content)
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert digest_of(process.stdout) == (size, expected(piece, size))
    feeder.join()
    return watched.peak_mib()


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out_of_exec_unchanged(rootless, busybox, piece, size):
    rootless("run", "-d", "--name", "pipe", "--network", "none", busybox, "sleep", "1000")
    try:
        process = rootless.start("exec", "-i", "pipe", "cat", stderr=subprocess.DEVNULL)
        peak = fed(process, piece, size)
    finally:
        rootless("rm", "-f", "pipe")
    sys.stdout.write(f"{size // MIB} MiB: exec {peak:.0f} MiB at most\n")
    assert peak < MEMORY_MIB


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out_of_an_attached_run_unchanged(rootless, busybox, piece, size):
    """Through the monitor, both ways at once: more than any buffer holds, and no deadlock."""
    argv = ("run", "-i", "--name", "through", "--network", "none", "--log-driver", "none")
    process = rootless.start(*argv, busybox, "cat", stderr=subprocess.DEVNULL)
    try:
        peak = fed(process, piece, size)
    finally:
        rootless("rm", "-f", "through")
    sys.stdout.write(f"{size // MIB} MiB: run {peak:.0f} MiB at most\n")
    assert peak < MEMORY_MIB
