"""A network namespace without a container: what the network backends are tested against."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

# Answers each connection with who asked, at once ("greeting") or after a line ("echo").
SERVER = """
import socket, sys, threading
kind, family, address, port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
number = socket.AF_INET6 if family == "6" else socket.AF_INET
if kind == "udp":
    endpoint = socket.socket(number, socket.SOCK_DGRAM)
    endpoint.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = endpoint.recvfrom(65535)
        endpoint.sendto(f"{peer[0]} {len(data)}".encode(), peer)
listener = socket.create_server((address, port), family=number, dualstack_ipv6=address == "::")
print("ready", flush=True)
def serve(peer, name):
    if kind == "echo":
        peer.recv(100)
    if kind == "sink":
        total = 0
        while data := peer.recv(1 << 20):
            total += len(data)
        peer.sendall(str(total).encode())
    if kind == "source":
        count = int(peer.recv(100))
        block = bytes(1 << 20)
        for _ in range(count):
            peer.sendall(block)
    if kind in ("echo", "greeting"):
        peer.sendall(name[0].encode())
    peer.close()
while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
"""

ASK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
endpoint = socket.socket(family, kind)
endpoint.settimeout(float(sys.argv[4]) if len(sys.argv) > 4 else 3)
endpoint.connect((sys.argv[2], int(sys.argv[3])))
if sys.argv[1] != "greeting":
    endpoint.send(b"hello")
print(endpoint.recv(100).decode())
"""


class Namespace:
    """A process that owns a user and a network namespace; commands can be run inside."""

    def __init__(self) -> None:
        self._owner = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "sleep", "600"]
        )
        self.pid = self._owner.pid
        self._running: list[subprocess.Popen[str]] = []
        wait_until(self._exists, "a network namespace")
        self.run("ip", "link", "set", "lo", "up")

    def _exists(self) -> bool:
        with open(f"/proc/{self.pid}/comm", encoding="ascii") as file:
            return file.read() == "sleep\n"

    def command(self, *argv: str) -> list[str]:
        inside = ("nsenter", "--target", str(self.pid), "--user", "--net", "--preserve-credentials")
        return [*inside, *argv]

    def run(self, *argv: str, timeout_s: float = 30, check: bool = True) -> str:
        done = subprocess.run(
            self.command(*argv), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv[:3]} inside: {done.stderr}")
        return done.stdout.strip()

    def serve(self, kind: str, port: int, *, address: str = "") -> None:
        """Start a server inside and wait until it listens; empty means both families."""
        argv = [sys.executable, "-c", SERVER, kind, "6" if ":" in (address or "::") else "4"]
        server = subprocess.Popen(
            self.command(*argv, address or "::", str(port)), stdout=subprocess.PIPE, text=True
        )
        self._running.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

    def ask(self, kind: str, address: str, port: int) -> str:
        """What the server at an address answers to a client inside."""
        return self.run(sys.executable, "-c", ASK, kind, address, str(port))

    def close(self) -> None:
        for each in (*self._running, self._owner):
            each.kill()
            each.wait()
            if each.stdout is not None:
                each.stdout.close()

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def ask(kind: str, address: str, port: int, *, timeout_s: float = 3) -> str:
    """What the server at an address answers to a client on the host; empty when it does not."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, kind, address, str(port), str(timeout_s)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s + 20,
    )
    return done.stdout.strip()
