"""Launches whose process ends at the worst moment: nothing of it is left, and nobody waits for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from rootless.kernel import trace
from rootless.runtime import handshake, launch
from tests.support.cli import CHECKOUT

REFUSED_ENTRY = """
import os
from rootless.errors import LaunchFailed
from rootless.runtime import launch
from rootless.runtime.cgroup import Cgroup
from rootless.runtime.plan import LaunchPlan

class Gone(Cgroup):
    birthplace = ""

    def add(self, pid, *, born=False):
        raise FileNotFoundError("the container is gone, and its cgroup with it")

for _ in range(20):
    try:
        launch.create(LaunchPlan(None, (), 0, 0, False, (), None), cgroup=Gone("/"))
    except (FileNotFoundError, LaunchFailed):  # whichever comes first: the child has nothing to do
        pass
os.waitpid(-1, 0)
"""


def python(code, *argv, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        env={**os.environ, "PYTHONPATH": CHECKOUT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def traced_sleep(channel):
    """What init does once it is told to start, with a program that goes on for long."""
    try:
        channel.recv(1)
        trace.trace_me()
        channel.send(handshake.TRACED)
        os.execvp("sleep", ["sleep", "1000"])
    finally:
        os._exit(125)


@pytest.fixture
def created():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        traced_sleep(theirs)
    theirs.close()
    yield launch.Created(None, pid, ours, -1)
    launch.kill(pid)


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_program_may_be_killed_while_it_is_looked_at(created, monkeypatch, moment):
    look = trace.file_and_mount

    def kill_and_look(path):
        if path == f"/proc/{created.pid}/exe" and moment == "before":
            end(created.pid)
        if path == "/proc/self/exe" and moment == "after":
            end(created.pid)
        return look(path)

    monkeypatch.setattr(trace, "file_and_mount", kill_and_look)
    launch.start(created)
    _, status = os.waitpid(created.pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_whatever_keeps_a_program_from_starting_it_is_reaped(created, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(trace, "file_and_mount", interrupt)
    with pytest.raises(KeyboardInterrupt):
        launch.start(created)
    with pytest.raises(ChildProcessError):
        os.waitpid(created.pid, os.WNOHANG)


def test_a_process_that_may_not_enter_the_cgroup_is_reaped():
    # In a process of its own, because whoever launches becomes a reaper of orphans.
    done = python(REFUSED_ENTRY)
    assert "ChildProcessError" in done.stderr, f"a child is left: {done}"


BORN = """
import os, signal, subprocess, threading
from rootless.kernel import process
from rootless.runtime import cgroup

place = cgroup.make(cgroup.delegated("/sys/fs/cgroup"), "b" * 64)
directory = os.open(place.path, os.O_PATH | os.O_CLOEXEC)
try:
    child = process.fork_into(directory)
    if child == 0:  # a whole interpreter: threads, imports, children, signals
        import wave
        started = threading.Thread(target=print, args=("thread",), kwargs={"flush": True})
        started.start()
        started.join()
        subprocess.run(["echo", "program"], check=True)
        where = open("/proc/self/cgroup").read().rstrip().endswith(os.path.basename(place.path))
        print("child", where, os.getpid() == threading.get_native_id(), flush=True)
        signal.raise_signal(signal.SIGKILL)
    print("ended", os.waitpid(child, 0)[1], flush=True)
finally:
    place.remove()
"""
NOTED = """
import sys
from rootless.cli import main
from rootless.runtime import cgroup

take = cgroup.Cgroup.add

def note(self, pid, *, born=False):
    print("born there", born, file=sys.stderr, flush=True)
    take(self, pid, born=born)

cgroup.Cgroup.add = note
main()
"""


def test_a_process_that_is_born_in_a_cgroup_is_a_whole_one(needs_cgroup_delegation):
    done = python(BORN)
    expected = ["thread", "program", "child True True", f"ended {signal.SIGKILL}"]
    assert done.stdout.splitlines() == expected, done.stderr


def test_first_and_further_programs_are_born_in_their_cgroup(
    rootless, busybox, needs_cgroup_delegation
):
    done = python(
        NOTED, "run", "--rm", "--network", "none", busybox, "true", **rootless.environment
    )
    assert (done.returncode, done.stderr) == (0, "born there True\n")
    rootless("run", "-d", "--name", "up", "--network", "none", busybox, "sleep", "60")
    try:
        show = ("exec", "up", "cat", "/proc/self/cgroup")
        done = python(NOTED, *show, **rootless.environment)
        assert (done.returncode, done.stderr) == (0, "born there True\n")
        assert done.stdout.splitlines()[-1] == "0::/"
    finally:
        rootless("rm", "-f", "-t", "0", "up")
