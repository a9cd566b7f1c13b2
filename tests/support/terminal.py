"""A command on a pseudo terminal, typed at and looked at as a person would."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    """A command on the other side of a pseudo terminal."""

    def __init__(self, argv, environment, *, rows=30, columns=90):
        self.ours, theirs = pty.openpty()
        self.resize(rows, columns, notify=False)
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],  # execs: the pid is the command's
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        self.seen = b""

    def resize(self, rows, columns, *, notify=True):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if notify:
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text):
        os.write(self.ours, text.encode())

    def expect(self, text, timeout_s=15):
        end = time.monotonic() + timeout_s
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.ours], [], [], max(0, end - time.monotonic()))
            assert ready, f"waited in vain for {text!r} in {self.seen!r}"
            self.seen += os.read(self.ours, 65536)
        self.seen = self.seen.partition(text.encode())[2]

    def end(self):
        code = self.process.wait(timeout=20)
        assert termios.tcgetattr(self._theirs) == self.before, "the terminal was left changed"
        os.close(self._theirs)
        os.close(self.ours)
        return code
