"""Rows 25 and 26: output without end, and programs that want all processes, memory or descriptors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import processes
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.security.conftest import Inside
    from tests.support.cli import Rootless

RUN = ("run", "-d", "--network=none")
LOG = "log"
SMALL_KIB = 60 << 10  # what any process of ours may hold, whatever a container prints
PIPES = 4 << 20  # what pipes, sockets and buffers between two processes may hold in all


@pytest.fixture
def name(request: pytest.FixtureRequest, rootless: Rootless) -> Iterator[str]:
    """The name of a container, removed afterwards."""
    chosen = f"row-{abs(hash(request.node.name)) % 10**9}"
    yield chosen
    rootless("rm", "-f", chosen, check=False)


def bundle(rootless: Rootless, name: str) -> str:
    return os.path.realpath(f"{rootless.home}/data/names/{name}")


def log_bytes(rootless: Rootless, name: str) -> int:
    """What the log of a container takes on disk, rotated files included."""
    directory = bundle(rootless, name)
    sizes = []
    for each in os.listdir(directory):
        if each == LOG or each.startswith(f"{LOG}."):
            try:
                sizes.append(os.stat(f"{directory}/{each}").st_size)
            except FileNotFoundError:  # rotated meanwhile
                continue
    return sum(sizes)


def peak_kib(pid: int) -> int:
    """The most memory that a process ever had."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        found = re.search(r"VmHWM:\s+(\d+)", file.read())
    assert found
    return int(found[1])


def monitor_of(rootless: Rootless, name: str) -> int:
    path = f"{rootless.home}/run/containers/{os.path.basename(bundle(rootless, name))}/state.json"
    with open(path, encoding="utf-8") as file:
        return int(json.load(file)["monitor"])


def test_row_25_a_log_takes_no_more_than_it_may(rootless: Rootless, busybox: str, name: str):
    limits = ("--log-opt=max-size=256k", "--log-opt=max-file=3")
    script = "i=0; while :; do i=$((i+1)); echo $i; done | head -c 8000000 | tr 5678 '\\n'; exec sleep 601"
    rootless(*RUN, "--name", name, *limits, busybox, "sh", "-c", script)
    monitor = monitor_of(rootless, name)
    most = 0

    def all_is_written() -> bool:
        nonlocal most
        most = max(most, log_bytes(rootless, name))
        return "\nsleep 601" in rootless("top", name, "args").stdout

    wait_until(all_is_written, "8 MB through the log", timeout_s=100)
    # One file may be counted under two names when it is rotated meanwhile.
    assert 256 << 10 < most <= 4 * 256 << 10
    assert peak_kib(monitor) < SMALL_KIB


def test_row_25_a_line_without_end_is_no_burden(rootless: Rootless, busybox: str, name: str):
    script = "head -c 30000000 /dev/zero | tr '\\0' x; echo end; exec sleep 600"
    rootless(*RUN, "--name", name, busybox, "sh", "-c", script)
    monitor = monitor_of(rootless, name)
    wait_until(
        lambda: rootless("logs", "--tail=1", name).stdout.endswith("end\n"),
        "the end of a long line",
        timeout_s=60,
    )
    assert peak_kib(monitor) < SMALL_KIB
    for command in (("logs", name), ("logs", "--tail=1", name), ("logs", "-t", "--tail=2", name)):
        code, peak = measured(rootless, *command)
        assert (code, peak < SMALL_KIB) == (0, True), (command, peak)


# Memory is counted from the fork on, when it is still that of the parent: so that must be a small one.
MEASURE = """
import os, sys
null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, each) for each in (0, 1, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def measured(rootless: Rootless, *argv: str) -> tuple[int, int]:
    """Exit code and peak memory in KiB of a command whose output goes nowhere."""
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, *rootless.command, *argv],
        env=rootless.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    code, peak = map(int, shown.split())
    return code, peak


FLOOD = "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/new; mv /dev/shm/new /dev/shm/count; head -c 65536 /dev/zero; done"


@pytest.mark.parametrize("how", ["exec", "attach", "run"])
def test_row_25_nobody_reads_so_the_program_waits(
    rootless: Rootless, busybox: str, name: str, how: str
):
    """CVE-2022-1708: output is passed on as fast as it is taken, and is kept nowhere."""
    if how == "exec":
        rootless(*RUN, "--name", name, busybox, "sleep", "600")
        reader = rootless.start("exec", name, "sh", "-c", FLOOD)
    elif how == "attach":
        rootless(
            "create",
            "--network=none",
            "--name",
            name,
            "--log-driver=none",
            busybox,
            "sh",
            "-c",
            FLOOD,
        )
        reader = rootless.start("start", "--attach", name)
    else:
        reader = rootless.start(
            *("run", "--rm", "--network=none", "--name", name, busybox, "sh", "-c", FLOOD)
        )
    try:
        count = ""

        def stands_still() -> bool:
            nonlocal count
            answer = rootless("exec", name, "cat", "/dev/shm/count", check=False)
            before, count = count, answer.stdout
            return bool(count) and before == count

        wait_until(stands_still, "the program to wait", timeout_s=60, pause_s=0.5)
        assert int(count) * 65536 < PIPES
        for line in processes.using(rootless.home):
            pid, _, command = line.partition(": ")
            if "rootless" in command and int(pid) != os.getpid():
                assert peak_kib(int(pid)) < SMALL_KIB, command
    finally:
        reader.kill()
        reader.communicate()


def test_row_25_a_build_keeps_no_output(rootless: Rootless, busybox: str, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox}\n"
        "RUN head -c 30000000 /dev/zero | tr '\\0' x\n"
        "RUN i=0; while test $i -lt 100000; do i=$((i+1)); echo a line of output; done\n"
    )
    code, peak = measured(rootless, "build", "--pull=never", "--no-cache", str(tmp_path))
    assert code == 0
    assert peak < 2 * SMALL_KIB, peak


CHECKS = {
    "prints without end": "cat /dev/zero",
    "closes its output and stays": "exec >&- 2>&- <&-; sleep 600",
    "leaves a child with its output": "sleep 600 & true",
    "ignores the end of its time": "trap '' TERM INT HUP; while :; do sleep 1; done",
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_row_25_a_health_check_does_not_hold_the_monitor(
    rootless: Rootless, busybox: str, name: str, check: str
):
    """An image brings its own: whatever it does, the container is stopped, looked at and logged."""
    options = ("--health-interval=1s", "--health-timeout=1s", "--health-retries=1")
    script = "trap 'exit 0' TERM; while :; do echo alive; sleep 0.2; done"
    rootless(
        *(*RUN, "--name", name, "--health-cmd", check, *options, "--stop-timeout=5"),
        *(busybox, "sh", "-c", script),
    )
    monitor = monitor_of(rootless, name)
    wait_until(
        lambda: (
            "starting"
            not in rootless("ps", "--format={{.Status}}", "--filter", f"name={name}").stdout
        ),
        "a first check to end",
    )
    said = rootless("logs", name).stdout.count("alive")
    wait_until(lambda: rootless("logs", name).stdout.count("alive") > said + 3, "the log to go on")
    assert peak_kib(monitor) < SMALL_KIB
    begin = time.monotonic()
    rootless("stop", name)
    assert time.monotonic() - begin < 15
    assert not os.path.exists(f"/proc/{monitor}") or processes.commands().get(monitor) == ""


# --- row 26 ---------------------------------------------------------------------------------------

BOMB = """
    import resource, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    made = 0
    refused = ""
    while made < 3000:
        try:
            pid = os.fork()
        except OSError as error:
            refused = errno.errorcode[error.errno]
            break
        if pid == 0:
            os.setsid()
            signal.pause()
        made += 1
    report(made=made, refused=refused)
    signal.pause()
"""


def test_row_26_a_fork_bomb_is_bounded_and_dies_with_its_container(
    rootless: Rootless, inside: Inside, name: str
):
    """Without a cgroup it is RLIMIT_NPROC that counts, and the pid namespace that ends them all."""
    limit = len(_processes_of_ours()) + 60
    argv = inside.argv(BOMB, f"--ulimit=nproc={limit}", "-d", "--name", name)
    rootless(*[each for each in argv if each != "--rm"])
    said = wait_until(lambda: rootless("logs", name).stdout, "the bomb to be stopped")
    assert '"refused": "EAGAIN"' in str(said)
    assert 10 < len(_processes_in(rootless, name)) <= limit
    begin = time.monotonic()
    assert rootless("ps", "-q").exit_code == 0  # the caller can still work
    rootless("rm", "-f", "-t", "1", name)
    assert time.monotonic() - begin < 30
    assert not [pid for pid, command in processes.commands().items() if "signal.pause()" in command]


def _processes_of_ours() -> list[int]:
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _owner(pid) == os.getuid()]


def _owner(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return -1


def _processes_in(rootless: Rootless, name: str) -> list[str]:
    return rootless("top", name, "pid").stdout.split()[1:]


@pytest.mark.parametrize("end", ["kill", "killed monitor", "killed run"])
def test_row_26_nothing_outlives_its_container(
    rootless: Rootless, inside: Inside, name: str, end: str
):
    """Daemons in sessions of their own that ignore every signal they can."""
    code = """
    import signal
    for each in range(1, 65):
        try:
            signal.signal(each, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    signal.pause()
            os._exit(0)
    report(ready=True)
    while True:
        signal.pause()
    """
    marker = f"# marker of {name}"
    detached = end != "killed run"
    argv = inside.argv(code + f"    {marker}\n", "--name", name, *(("-d",) if detached else ()))
    if detached:
        rootless(*[each for each in argv if each != "--rm"])
    else:
        runner = rootless.start(*argv)
    wait_until(lambda: len(processes.named(marker)) > 20, "the daemons")
    if end == "kill":
        rootless("kill", name)
    elif end == "killed monitor":
        os.kill(monitor_of(rootless, name), signal.SIGKILL)
    else:
        runner.kill()
        runner.communicate()
    wait_until(lambda: not processes.named(marker), "all to be gone")


def test_row_26_descriptors_and_shared_memory_are_bounded(inside: Inside):
    answer = inside(
        """
        import resource
        opened = []
        refused = ""
        try:
            while len(opened) < 100:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            refused = errno.errorcode[error.errno]
        count = len(opened)
        for fd in opened:
            os.close(fd)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
            raised = "ok"
        except (OSError, ValueError):
            raised = "refused"
        filled = {}
        for directory in ("/dev/shm", "/dev"):
            path = directory + "/fill"
            written = 0
            try:
                with open(path, "wb", buffering=0) as file:
                    while written < 200 << 20:
                        written += file.write(bytes(1 << 20))
                filled[directory] = "ok"
            except OSError as error:
                filled[directory] = errno.errorcode[error.errno]
            os.unlink(path)
            filled[directory + " bytes"] = written
        report(count=count, refused=refused, raised=raised, filled=filled)
        """,
        "--ulimit=nofile=32:64",
        "--shm-size=4m",
    )
    assert answer["refused"] == "EMFILE" and answer["count"] < 32
    assert answer["raised"] == "refused"
    assert answer["filled"]["/dev/shm"] == answer["filled"]["/dev"] == "ENOSPC"
    assert answer["filled"]["/dev/shm bytes"] <= 4 << 20
    assert answer["filled"]["/dev bytes"] <= 64 << 20


def test_row_26_a_memory_bomb_meets_its_limit(inside: Inside):
    code = """
        kept = []
        grown = ""
        try:
            while len(kept) < 500:
                kept.append(bytearray(1 << 20))
        except MemoryError:
            grown = "refused"
        count = len(kept)
        del kept
        report(count=count, grown=grown)
    """
    answer = inside(code, f"--ulimit=as={200 << 20}")
    assert answer["grown"] == "refused" and answer["count"] < 200


def test_row_26_what_cannot_be_enforced_is_an_error(rootless: Rootless, busybox: str):
    """Promise 4.  Where the controllers are there, tests/vm shows that the limits hold."""
    for option in ("--memory=64m", "--pids-limit=10", "--cpus=0.5"):
        result = rootless("run", "--rm", "--network=none", option, busybox, "true", check=False)
        if result.exit_code:
            assert result.exit_code == 125 and "Error:" in result.stderr, str(result)
            assert any(word in result.stderr for word in ("cgroup", "controller")), str(result)
