"""What systemd expects of a service: sockets handed on, and word that it is ready; with systemd played by the test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support.python_image import python_image
from tests.support.waiting import wait_until

# Becomes rootless with a socket as descriptor 3 and its own pid in LISTEN_PID, as systemd does it.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.executable, [sys.executable, "-m", "rootless", *sys.argv[2:]])
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket; call it for the next message, by lines."""
    path = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(path)
        endpoint.settimeout(20)

        def message():
            return endpoint.recv(4096).decode().split("\n")

        message.path = path
        yield message


def activate(rootless, listener, *argv):
    command = [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *argv]
    return subprocess.run(
        command,
        env=rootless.environment,
        pass_fds=[listener.fileno()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("flags", [("--rm",), ("--rm", "--init"), ("--log-driver", "none", "--rm")])
def test_a_listening_socket_is_handed_on(rootless, busybox, listener, flags):
    script = 'echo $LISTEN_FDS $LISTEN_FDNAMES; [ "$LISTEN_PID" = $$ ] && readlink /proc/self/fd/3'
    done = activate(
        rootless, listener, "run", *flags, "--network", "none", busybox, "sh", "-c", script
    )
    assert done.returncode == 0, done.stderr
    told, link = done.stdout.splitlines()
    assert told == "1 web"
    assert link == f"socket:[{os.fstat(listener.fileno()).st_ino}]"


def test_a_detached_container_serves_on_it_also_after_a_restart(rootless, images, listener):
    program = (
        "import socket\n"
        "s = socket.socket(fileno=3)\n"
        "c, _ = s.accept()\n"
        "c.sendall(b'served'); c.close()\n"
    )
    argv = ("run", "-d", "--name", "activated", "--restart", "always", "--network", "none")
    image = python_image(images)
    rootless("pull", "-q", image)
    done = activate(rootless, listener, *argv, image, "python3", "-c", program)
    assert done.returncode == 0, done.stderr
    try:
        for _ in range(3):  # each life serves one
            with socket.create_connection(listener.getsockname(), timeout=30) as client:
                assert client.recv(100) == b"served"
    finally:
        rootless("rm", "-f", "activated")


def test_descriptors_that_are_not_there_are_refused(rootless, busybox):
    said = rootless.fails("run", "--rm", "--preserve-fds", "2", busybox, "true")
    assert "descriptor 3, which is not open" in said


def test_the_program_says_when_it_is_ready(rootless, busybox, manager):
    """busybox cannot speak to a socket of datagrams, so we do it for the program, through its own socket."""
    argv = ("run", "-d", "--name", "ready", "--network", "none", busybox, "sh", "-c")
    script = "ls -l $NOTIFY_SOCKET; sleep 1000"
    rootless(*argv, script, env={"NOTIFY_SOCKET": manager.path})
    try:
        assert "/run/notify/notify.sock" in str(
            wait_until(lambda: rootless("logs", "ready").stdout, "the name of the socket")
        )
        pid, monitor = rootless(
            "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", "ready"
        ).stdout.split()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
            program.connect(f"/proc/{pid}/root/run/notify/notify.sock")
            program.send(b"STATUS=warm\nMAINPID=1\nFDSTORE=1")
            assert manager() == ["STATUS=warm"]
            program.send(b"READY=1")
            assert manager() == ["READY=1", f"MAINPID={monitor}"]
    finally:
        rootless("rm", "-f", "ready")
    # The service manager has gone, and still it can be started.
    assert (
        rootless(
            "run", "--rm", "--network", "none", busybox, "sh", "-c", "echo $NOTIFY_SOCKET"
        ).stdout
        == "\n"
    )


def test_the_monitor_says_it_instead(rootless, busybox, manager):
    argv = ("run", "-d", "--name", "conmon", "--sdnotify", "conmon", "--network", "none")
    rootless(*argv, busybox, "sleep", "1000", env={"NOTIFY_SOCKET": manager.path})
    try:
        monitor = rootless("inspect", "--format", "{{.State.ConmonPid}}", "conmon").stdout.strip()
        assert manager() == ["READY=1", f"MAINPID={monitor}"]
    finally:
        rootless("rm", "-f", "conmon")


def test_the_health_check_says_it_instead(rootless, busybox, manager):
    argv = ("run", "-d", "--name", "healthy", "--sdnotify", "healthy", "--network", "none")
    check = ("--health-cmd", "true", "--health-interval", "100ms")
    rootless(*argv, *check, busybox, "sleep", "1000", env={"NOTIFY_SOCKET": manager.path})
    try:
        assert manager()[0] == "READY=1"
    finally:
        rootless("rm", "-f", "healthy")


def test_nobody_says_anything_when_told_so(rootless, busybox, manager):
    argv = ("run", "--rm", "--sdnotify", "ignore", "--network", "none", busybox, "sh", "-c")
    done = rootless(*argv, "echo [$NOTIFY_SOCKET]", env={"NOTIFY_SOCKET": manager.path})
    assert done.stdout == "[]\n"


REAPER = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what is nobody's child becomes ours, as systemd's
for argv in ARGVS:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize(("then", "status"), [((), 7), (("stop", "-t", "0", "main"), 0)])
def test_the_main_process_ends_as_the_container_does_unless_it_was_stopped(
    rootless, busybox, then, status
):
    script = "sleep 1000" if then else "sleep 0.5; exit 7"
    run = ("run", "-d", "--rm", "--name", "main", "--network", "none", busybox, "sh", "-c", script)
    lines = [[*rootless.command, *each] for each in (run, then) if each]
    done = subprocess.run(
        [sys.executable, "-c", REAPER.replace("ARGVS", repr(lines))],
        env=rootless.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{status}\n", "")
