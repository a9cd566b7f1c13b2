"""HOST SIDE: the caller's streams joined to a container's attach socket, until it ends or detaches."""

from __future__ import annotations

import os
import select
import struct

from rootless.errors import InvalidRequest
from rootless.files import write_all
from rootless.lean import signal
from rootless.runtime import attach, supervise
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

_CHUNK = 1 << 16
DETACH_KEYS = "ctrl-p,ctrl-q"


class Outcome(NamedTuple):
    """How a session ended: the container's exit code, or None where only the session ended."""

    code: int | None
    detached: bool = False


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that a terminal sends; empty means: never detach."""
    keys = bytearray()
    for key in text.split(",") if text else ():
        if len(key) == 1:
            keys += key.encode()
        elif (
            key.startswith("ctrl-")
            and len(key) == 6
            and key[5] in "abcdefghijklmnopqrstuvwxyz@[\\]^_"
        ):
            keys.append(ord(key[5].upper()) - 64)
        else:
            raise InvalidRequest(
                f"invalid detach keys {text!r}", hint="such as ctrl-p,ctrl-q or a single letter"
            )
    return bytes(keys)


class KeyWatch:
    """Finds the detach sequence in what is typed, holding back what may be its beginning."""

    def __init__(self, keys: bytes):
        self._keys = keys
        self._matched = 0

    def feed(self, content: bytes) -> tuple[bytes, bool]:
        """What may be passed on, and whether the sequence is complete."""
        if not self._keys:
            return content, False
        passed = bytearray()
        for byte in content:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                passed.append(byte)
        return bytes(passed), False


class Session:
    """One attachment; ``send_signal`` is how a signal that we get reaches the container."""

    def __init__(
        self,
        endpoint: socket,
        *,
        terminal: bool,
        interactive: bool,
        detach_keys: str = DETACH_KEYS,
        send_signal: Callable[[int], None] | None = None,
    ):
        self._endpoint = endpoint
        self._terminal = terminal
        self._interactive = interactive
        self._keys = KeyWatch(parse_keys(detach_keys) if terminal else b"")
        self._send_signal = send_signal
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._resized, self._alarm = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def _wake(self) -> None:
        try:
            os.write(self._alarm, b"w")
        except BlockingIOError:
            pass  # it is awake already

    def run(self) -> Outcome:
        """Copy until the container ends, the connection does, or the detach keys come."""
        import termios
        import tty

        raw = self._terminal and self._interactive and os.isatty(0)
        saved = termios.tcgetattr(0) if raw else None
        previous = None
        forwarding = None
        if self._terminal:
            self._send_size()
            # poll(2) is begun anew after a signal, so the news of one must be something to read.
            previous = signal.signal(signal.SIGWINCH, lambda *_: self._wake())
        if self._send_signal is not None:
            numbers = [each for each in supervise.FORWARDED if each != signal.SIGWINCH]
            forwarding = supervise.Forwarding(self._send_signal, numbers)
        try:
            if saved is not None:
                tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is kept
            return self._copy()
        finally:
            if saved is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
            if forwarding is not None:
                forwarding.close()
            if previous is not None:
                signal.signal(signal.SIGWINCH, previous)
            self._endpoint.close()
            os.close(self._resized)
            os.close(self._alarm)

    def _send_size(self) -> None:
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        for fd in (0, 1, 2):
            try:
                rows, columns = struct.unpack("HHHH", ioctl(fd, TIOCGWINSZ, bytes(8)))[:2]
            except OSError:
                continue
            self._outgoing += attach.frame(attach.RESIZE, struct.pack(">HH", rows, columns))
            return

    def _copy(self) -> Outcome:
        stdin_open = self._interactive
        self._endpoint.setblocking(False)
        fd = self._endpoint.fileno()
        while True:
            poll = select.poll()
            poll.register(fd, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
            poll.register(self._resized, select.POLLIN)
            if stdin_open and len(self._outgoing) < attach.LARGEST_FRAME:
                poll.register(0, select.POLLIN)
            ready = dict(poll.poll())
            if self._resized in ready:
                os.read(self._resized, _CHUNK)
                self._send_size()
            if self._resized in ready or ready.get(fd, 0) & select.POLLOUT:
                self._flush()
            if ready.get(fd, 0) & ~select.POLLOUT:
                outcome = self._receive()
                if outcome is not None:
                    return outcome
            if 0 in ready:
                typed = os.read(0, _CHUNK)
                content, detached = self._keys.feed(typed)
                if detached:
                    return Outcome(None, detached=True)
                stdin_open = bool(typed)
                if content or not typed:  # an empty frame is the end of the input
                    self._outgoing += attach.frame(attach.STDIN, content)
                    self._flush()

    def _flush(self) -> None:
        try:
            sent = self._endpoint.send(self._outgoing)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing.clear()
            return
        del self._outgoing[:sent]

    def _receive(self) -> Outcome | None:
        try:
            content = self._endpoint.recv(1 << 18)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            content = b""
        if not content:
            return Outcome(None)
        self._incoming += content
        for kind, text in attach.split(self._incoming):
            if kind in (attach.STDOUT, attach.STDERR):
                write_all(kind, text)
            elif kind == attach.EXIT:
                return Outcome(int(struct.unpack(">i", text)[0]))
        return None
