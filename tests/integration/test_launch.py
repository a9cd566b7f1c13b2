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
from rootless.runtime.plan import LaunchPlan

def refuse(pid):
    raise FileNotFoundError("the container is gone, and its cgroup with it")

for _ in range(20):
    try:
        launch.create(LaunchPlan(None, (), 0, 0, False, (), None), enter_cgroup=refuse)
    except (FileNotFoundError, LaunchFailed):  # whichever comes first: the child has nothing to do
        pass
os.waitpid(-1, 0)
"""


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
    done = subprocess.run(
        [sys.executable, "-c", REFUSED_ENTRY],
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ChildProcessError" in done.stderr, f"a child is left: {done}"
