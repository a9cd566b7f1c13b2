"""A container as an object of a Python program."""

from __future__ import annotations

import os
import time

from rootless.errors import Conflict, NotFound, RootlessError
from rootless.library.calls import Completed, ProgramFailed, call, flags_of, must
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rootless.engine import Engine
    from rootless.library.keywords import ExecOptions
    from rootless.runtime.session import Outcome

_PAUSE_S = 0.05


class LogLine(NamedTuple):
    """One line of a container's log: its RFC 3339 time, ``stdout`` or ``stderr``, and its bytes."""

    time: str
    stream: str
    content: bytes

    @property
    def text(self) -> str:
        """The line as text."""
        return self.content.decode(errors="replace")


class Container:
    """A container by its id.  As a context manager it is stopped and removed at the end of the block.

    Every method asks the store and the kernel anew; nothing is remembered but the id.
    ``lifeline`` is a descriptor that keeps a container of ``running`` alive; it is ours.
    """

    def __init__(self, engine: Engine, container_id: str, *, lifeline: int = -1):
        self._engine = engine
        self.id = container_id
        self._lifeline = lifeline

    def __repr__(self) -> str:
        return f"<rootless.Container {self.id[:12]}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def inspect(self) -> dict[str, Any]:
        """All that is known of it, in docker's words.  Raises NotFound."""
        from rootless.engine.inspect import inspect_container

        return inspect_container(self._engine, self.id)

    @property
    def name(self) -> str:
        """Its name, as it is now."""
        return str(self.inspect()["Name"]).removeprefix("/")

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting``, ``exited``, or ``removed``."""
        try:
            return str(self.inspect()["State"]["Status"])
        except NotFound:
            return "removed"

    @property
    def health(self) -> str:
        """``starting``, ``healthy`` or ``unhealthy``; empty without a health check."""
        return str(self.inspect()["State"].get("Health", {}).get("Status", ""))

    def port(self, container_port: int | str) -> tuple[str, int]:
        """Address and port of this host where a published port is reached.  Raises NotFound."""
        wanted = str(container_port) if "/" in str(container_port) else f"{container_port}/tcp"
        found = self.inspect()["NetworkSettings"]["Ports"].get(wanted)
        if not found:
            raise NotFound(f"container {self.name} publishes no port {wanted}")
        address = found[0]["HostIp"]
        return (
            "127.0.0.1" if address in ("", "0.0.0.0") else address,
            int(found[0]["HostPort"]),
        )

    def exec(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,
        check: bool = True,
        timeout: float | None = None,
        **options: Unpack[ExecOptions],
    ) -> Completed:
        """Run a further program in it.  Raises ProgramFailed with ``check``, LaunchFailed, Conflict."""
        flags = flags_of(options) + (["--interactive"] if input is not None else [])
        done = call(["exec", *flags, self.id, *args], input=input, timeout=timeout)
        done = done._replace(args=tuple(args))
        if check and done.exit_code:
            raise ProgramFailed(done)
        return done

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[LogLine]:
        """What it wrote, line by line; with ``follow`` until it ends.  Times in seconds since 1970."""
        from rootless.engine.container_requests import LogsRequest
        from rootless.engine.logs import logs

        request = LogsRequest((self.id,), follow=follow, tail=tail, since=since, until=until)
        begun: dict[int, bytes] = {}
        for record in logs(self._engine, self.id, request):
            content = begun.pop(record.stream, b"") + record.text
            if record.whole:
                yield LogLine(record.time, _stream(record.stream), content)
            else:
                begun[record.stream] = content
        for stream, content in begun.items():
            yield LogLine("", _stream(stream), content)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code.  Raises TimeoutError after that many seconds.

        Raises NotFound for a container that removes itself and has done so before.
        """
        from rootless.engine.lifecycle import code_of, connect
        from rootless.runtime import container as store

        found = store.find(self._engine.paths, self.id)
        try:
            endpoint = connect(found, 0)
        except Conflict:  # it has ended
            return int(self.inspect()["State"]["ExitCode"])
        try:
            outcome = _outcome(endpoint, timeout)
        finally:
            endpoint.close()
        if outcome is None:
            raise TimeoutError(f"container {self.id[:12]} did not end within {timeout} s")
        return code_of(found, outcome)

    def wait_healthy(self, timeout: float = 60) -> None:
        """Wait until its health check succeeds.  Raises TimeoutError, RootlessError when it ends before."""
        end = time.monotonic() + timeout
        while self.health != "healthy":
            if self.status not in ("running", "restarting"):
                raise RootlessError(f"container {self.name} ended before it was healthy")
            if time.monotonic() > end:
                raise TimeoutError(f"container {self.name} was not healthy within {timeout} s")
            time.sleep(_PAUSE_S)

    def start(self) -> None:
        """Start it again after it ended; it goes on without this program then.

        This and the others below raise the RootlessError with which the command fails: NotFound, Conflict,
        LaunchFailed ...
        """
        must(["start", self.id])

    def stop(self, timeout: float | None = None) -> None:
        """Ask it to end, and end it after ``timeout`` seconds."""
        must(["stop", *([] if timeout is None else [f"--time={timeout:g}"]), self.id])

    def restart(self) -> None:
        """Stop it and start it."""
        must(["restart", self.id])

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its first process."""
        must(["kill", f"--signal={signal}", self.id])

    def pause(self) -> None:
        """Stop all its processes where they are."""
        must(["pause", self.id])

    def unpause(self) -> None:
        """Let them go on."""
        must(["unpause", self.id])

    def remove(self, *, volumes: bool = True) -> None:
        """Stop and remove it, and its anonymous volumes; one that is gone is no error."""
        try:
            self.stop()
        except NotFound:
            pass
        try:
            must(["rm", "--force", *(["--volumes"] if volumes else []), self.id])
        except NotFound:
            pass
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _stream(number: int) -> str:
    return "stdout" if number == 1 else "stderr"


def _outcome(endpoint: socket, timeout: float | None) -> Outcome | None:
    """What the monitor says at the end, which it may not live to say; None when the time is over first."""
    import struct

    from rootless.runtime import attach
    from rootless.runtime.session import Outcome

    endpoint.settimeout(timeout)
    buffer = bytearray()
    while True:
        try:
            content = endpoint.recv(1 << 16)
        except TimeoutError:
            return None
        except ConnectionResetError:  # it ended before it had read what we asked
            content = b""
        if not content:
            return Outcome(None)
        buffer += content
        for kind, text in attach.split(buffer):
            if kind == attach.EXIT:
                return Outcome(int(struct.unpack(">i", text)[0]))
