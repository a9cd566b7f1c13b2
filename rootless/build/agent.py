"""``RUN --mount=type=ssh``: a socket in the build that leads to the caller's ssh agent.

The container never gets the agent's own socket: a process of ours passes messages on while the RUN
lasts, through a socket with the owner and mode that the mount asks for, and only those that list keys
or sign with them.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
from socket import socket

from rootless.build import child
from rootless.errors import HostLacks, NotFound
from rootless.kernel import process
from rootless.typed import NamedTuple

_CHUNK = 1 << 16
_LENGTH_BYTES = 4
_MOST_BYTES = 256 << 10  # what OpenSSH's agent takes
# To list keys and to sign.  A build must not take keys away, bring its own, or lock the agent.
_ALLOWED = (11, 13)
_FAILURE = b"\0\0\0\1\5"


class Agent(NamedTuple):
    """A forwarder, or an agent of our own with the keys that were named, or both."""

    pids: tuple[int, ...]

    def close(self) -> None:
        """End it."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def forward(path: str, sources: tuple[str, ...], *, mode: int) -> Agent:
    """Listen at ``path`` for what comes after ``--ssh ID=``: a socket, or keys; nothing: SSH_AUTH_SOCK."""
    upstream, pids = _upstream(path, sources)
    listener = _listen(path, mode)
    pid = child.fork(lambda: _serve(listener, upstream))
    listener.close()
    return Agent((*pids, pid))


def _upstream(path: str, sources: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
    if not sources:
        found = os.environ.get("SSH_AUTH_SOCK", "")
        if not found:
            raise NotFound(
                "there is no ssh agent", hint="start one, or give a key: --ssh default=FILE"
            )
        return found, ()
    if len(sources) == 1 and _is_socket(sources[0]):
        return sources[0], ()
    keys = tuple(os.path.abspath(os.path.expanduser(each)) for each in sources)
    return _own_agent(f"{path}.agent", keys)


def _is_socket(path: str) -> bool:
    from stat import S_ISSOCK

    try:
        return S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise NotFound(f"cannot use {path} for ssh: {error.strerror}") from None


def _own_agent(path: str, keys: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
    directory, name = os.path.split(path)
    pid = child.fork(lambda: _become_agent(directory, name))
    while not os.path.exists(path):
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise HostLacks("ssh-agent could not be started", hint="install openssh-client")
        time.sleep(0.005)
    for key in keys:
        added = subprocess.run(
            ["ssh-add", "-q", key],
            cwd=directory,
            env={**os.environ, "SSH_AUTH_SOCK": name, "SSH_ASKPASS": "/bin/false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if added.returncode:
            Agent((pid,)).close()
            words = added.stderr.decode(errors="replace").strip()
            raise NotFound(f"cannot load the ssh key {key}: {words}")
    return path, (pid,)


def _become_agent(directory: str, name: str) -> None:
    """CHILD SIDE.  The socket's name is relative: its address may not be longer than 107 bytes."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.chdir(directory)
    # Debian's is set-group-ID, and with that it would survive us.
    process.set_no_new_privileges()
    os.execvp("ssh-agent", ["ssh-agent", "-D", "-a", name])


def _listen(path: str, mode: int) -> socket:
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The short way, since a socket's address may not be longer than 107 bytes.
        listener.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
    os.chmod(path, mode)
    listener.listen()
    return listener


def _serve(listener: socket, upstream: str) -> None:
    """CHILD SIDE: one loop for all connections."""
    os.chdir(os.path.dirname(os.path.abspath(upstream)))
    streams: dict[int, _Stream] = {}
    while True:
        ready, _, _ = select.select([listener.fileno(), *streams], (), ())
        for fd in ready:
            if fd == listener.fileno():
                for each in _accept(listener, os.path.basename(upstream)):
                    streams[each.source.fileno()] = each
            elif fd in streams and not streams[fd].pass_on():
                for end in (streams[fd].source, streams[fd].target):
                    del streams[end.fileno()]
                    end.close()


def _accept(listener: socket, upstream: str) -> tuple[_Stream, ...]:
    client, _ = listener.accept()
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        server.connect(upstream)
    except OSError:
        client.close()
        server.close()
        return ()
    return _Stream(client, server, is_request=True), _Stream(server, client, is_request=False)


class _Stream:
    """One direction of a connection.  Requests are looked at, answers are not."""

    def __init__(self, source: socket, target: socket, *, is_request: bool):
        self.source = source
        self.target = target
        self._is_request = is_request
        self._buffer = b""

    def pass_on(self) -> bool:
        """Pass on what has come; False at the end."""
        try:
            content = self.source.recv(_CHUNK)
            if not self._is_request:
                self.target.sendall(content)
                return bool(content)
            self._buffer += content
            return bool(content) and self._requests()
        except OSError:
            return False

    def _requests(self) -> bool:
        """A request is its length in four bytes, then its type and the rest (the ssh-agent protocol)."""
        while len(self._buffer) >= _LENGTH_BYTES:
            size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if not 0 < size <= _MOST_BYTES:
                return False
            if len(self._buffer) < _LENGTH_BYTES + size:
                break
            request, self._buffer = (
                self._buffer[: _LENGTH_BYTES + size],
                self._buffer[_LENGTH_BYTES + size :],
            )
            if request[_LENGTH_BYTES] in _ALLOWED:
                self.target.sendall(request)
            else:
                self.source.sendall(_FAILURE)
        return True
