"""``RUN --mount=type=ssh``: a socket in the build that leads to the caller's ssh agent.

The container never gets the agent's own socket: a process of ours passes messages on while the RUN
lasts, through a socket with the owner and mode that the mount asks for.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
from socket import socket

from rootless.build import child
from rootless.errors import HostLacks, NotFound
from rootless.typed import NamedTuple

_CHUNK = 1 << 16


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
    return _own_agent(f"{path}.agent", sources)


def _is_socket(path: str) -> bool:
    from stat import S_ISSOCK

    try:
        return S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise NotFound(f"cannot use {path} for ssh: {error.strerror}") from None


def _own_agent(path: str, keys: tuple[str, ...]) -> tuple[str, tuple[int, ...]]:
    try:
        agent = subprocess.Popen(
            ["ssh-agent", "-D", "-a", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise HostLacks("ssh keys need ssh-agent", hint="install openssh-client") from None
    for _ in range(500):
        if os.path.exists(path) or agent.poll() is not None:
            break
        select.select((), (), (), 0.01)
    for key in keys:
        added = subprocess.run(
            ["ssh-add", "-q", key],
            env={**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS": "/bin/false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if added.returncode:
            agent.kill()
            words = added.stderr.decode(errors="replace").strip()
            raise NotFound(f"cannot load the ssh key {key}: {words}")
    return path, (agent.pid,)


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
    peers: dict[int, socket] = {}
    sockets: dict[int, socket] = {listener.fileno(): listener}
    while True:
        ready, _, _ = select.select(list(sockets), (), ())
        for fd in ready:
            if fd == listener.fileno():
                _accept(listener, upstream, sockets, peers)
            elif fd in sockets and not _relay(sockets[fd], peers[fd]):
                for each in (sockets[fd], peers[fd]):
                    sockets.pop(each.fileno(), None)
                    peers.pop(each.fileno(), None)
                    each.close()


def _accept(
    listener: socket, upstream: str, sockets: dict[int, socket], peers: dict[int, socket]
) -> None:
    client, _ = listener.accept()
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        server.connect(upstream)
    except OSError:
        client.close()
        server.close()
        return
    for here, there in ((client, server), (server, client)):
        sockets[here.fileno()] = here
        peers[here.fileno()] = there


def _relay(source: socket, target: socket) -> bool:
    try:
        content = source.recv(_CHUNK)
        target.sendall(content)
    except OSError:
        return False
    return bool(content)
