"""Unpacks layers in processes of their own: HOST SIDE the queue's end, CHILD SIDE foreman and workers.

The foreman is root of the user namespace.  It forks a worker for every layer, a few at a time, and
publishes nothing before the layer's parent is published, so a layer on disk always has its parents.
Messages are marshalled tuples over a SOCK_SEQPACKET pair.

=====================  =============================================================================
host → foreman         ``("job", chain_id, parent, diff_id, compression)`` with a descriptor; ``("end",)``
foreman → host         ``("unpacked", chain_id, size, notices)``; ``("failed", kind, message, hint)``;
                       ``("idle",)`` in answer to ``end``, when everything is in its place
worker → foreman       ``("extracted",)``; then like foreman → host
foreman → worker       ``("go",)`` once the parent is published
=====================  =============================================================================
"""

from __future__ import annotations

import marshal
import os
import selectors
import socket
from collections import deque

from rootless import errors, files
from rootless.errors import ImageRefused, RootlessError, StoreFailed
from rootless.storage.layer_tar import UnpackRequest, unpack
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from rootless.storage.layer_store import LayerStore
    from rootless.storage.stack import Stack
    from rootless.userns.enter import Child

_LARGEST_MESSAGE = 1 << 16
_SIGKILL = 9
_GONE = (BrokenPipeError, ConnectionResetError)


class Unpacked(NamedTuple):
    """A layer that is in its place now; ``notices`` are sentences for the user."""

    chain_id: str
    size_bytes: int
    notices: tuple[str, ...] = ()


class Unpacker:
    """HOST SIDE.  Submit layers from any thread; then wait."""

    def __init__(self, channel: socket.socket, child: Child[None]):
        self._channel = channel
        self._child = child

    def submit(
        self,
        source_fd: int,
        *,
        compression: str,
        chain_id: str,
        parent: str | None,
        diff_id: str,
    ) -> None:
        """Unpack what can be read from ``source_fd`` (a file or a pipe), which the caller may then close.

        ``compression`` is ``gzip``, ``zstd`` or ``none``.  Parents may be submitted later, or be
        there.  A pipe whose layer failed breaks: its writer sees EPIPE, ``wait`` says why.
        """
        job = ("job", chain_id, parent, diff_id, compression)
        try:
            socket.send_fds(self._channel, [marshal.dumps(job)], [source_fd])
        except _GONE:
            pass  # wait() finds out what happened

    def wait(self) -> list[Unpacked]:
        """Wait until everything submitted is in its place and on the disk.

        Raises ImageRefused or StoreFailed of the first layer that failed; the others are given up.
        """
        unpacked = []
        try:
            self._channel.send(marshal.dumps(("end",)))
        except _GONE:
            pass
        while message := self._receive():
            kind, *values = marshal.loads(message)
            if kind == "unpacked":
                unpacked.append(Unpacked(*values))
            elif kind == "idle":
                return unpacked
            else:
                _raise_again(*values)
        raise StoreFailed("the process that unpacks layers has died", hint="is memory short?")

    def _receive(self) -> bytes:
        """The next message; empty at the end.

        A foreman that ended with something of ours unread leaves a reset, which the kernel reports
        once, before what the foreman had to say; that is still in the queue behind it.
        """
        try:
            return self._channel.recv(_LARGEST_MESSAGE)
        except ConnectionResetError:
            return self._channel.recv(_LARGEST_MESSAGE)

    def close(self) -> None:
        """End the foreman, and with it everything that is not done."""
        self._channel.close()
        try:
            self._child.wait()
        except RuntimeError:
            pass  # it was killed; whoever waited for layers has been told


def _raise_again(kind: str, message: str, hint: str | None) -> NoReturn:
    raised: RootlessError = getattr(errors, kind)(message, hint=hint)
    raise raised


class _Job:
    """FOREMAN.  A layer from submission to its place; ``state`` is a word of the table above."""

    def __init__(self, values: list[Any], source_fd: int):
        self.chain_id, self.parent, self.diff_id, self.compression = values
        self.source_fd = source_fd
        self.state = "queued"
        self.pid = 0
        self.channel: socket.socket | None = None
        self.scratch = ""
        self.lock = -1


class Foreman:
    """CHILD SIDE.  Runs workers until the host closes its end."""

    def __init__(self, channel: socket.socket, store: LayerStore, *, at_once: int):
        self._channel = channel
        self._store = store
        self._at_once = at_once
        self._jobs: dict[str, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._selector = selectors.DefaultSelector()
        self._ending = False
        self._failure: tuple[Any, ...] | None = None
        self._published = False

    def run(self) -> None:
        """Until the host goes away."""
        self._selector.register(self._channel, selectors.EVENT_READ, None)
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.data is None:
                        if not self._from_host():
                            return
                    else:
                        self._from_worker(key.data)
                self._advance()
        except _GONE:
            pass  # the host gave up while we were about to tell it something
        finally:
            self._give_up()

    def _from_host(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._channel, _LARGEST_MESSAGE, 1)
        if not message:
            return False
        kind, *values = marshal.loads(message)
        if kind == "end":
            self._ending = True
            if self._failure:
                self._channel.send(marshal.dumps(self._failure))
        elif self._failure or values[0] in self._jobs:
            os.close(fds[0])
        else:
            job = _Job(values, fds[0])
            self._jobs[job.chain_id] = job
            self._queue.append(job)
        return True

    def _from_worker(self, job: _Job) -> None:
        assert job.channel is not None
        message = job.channel.recv(_LARGEST_MESSAGE)
        if not message:
            self._fail(("failed", "StoreFailed", "a process that unpacks layers has died", None))
            return
        kind, *values = marshal.loads(message)
        if kind == "extracted":
            job.state = "extracted"
        elif kind == "failed":
            self._fail((kind, *values))
        else:
            self._release(job)
            job.state = "published"
            self._published = True
            self._channel.send(marshal.dumps((kind, *values)))

    def _advance(self) -> None:
        """Start what may start, let publish what may be published, and answer the host."""
        if self._failure:
            return
        working = sum(job.state == "working" for job in self._jobs.values())
        while self._queue and working < self._at_once:
            self._start(self._queue.popleft())
            working += 1
        for job in self._jobs.values():
            if job.state == "extracted" and self._has_parent(job):
                assert job.channel is not None
                job.channel.send(marshal.dumps(("go",)))
                job.state = "publishing"
        if not self._ending:
            return
        states = {job.state for job in self._jobs.values()}
        if states <= {"published"}:
            self._finish()
        elif states <= {"published", "extracted"}:
            message = "a layer's parent is neither stored nor submitted"
            self._fail(("failed", "StoreFailed", message, None))

    def _has_parent(self, job: _Job) -> bool:
        parent = self._jobs.get(job.parent) if job.parent else None
        if parent is not None:
            return parent.state == "published"
        return job.parent is None or self._store.has(job.parent)

    def _finish(self) -> None:
        if self._published:
            self._store.sync()
        self._jobs.clear()
        self._ending = self._published = False
        self._channel.send(marshal.dumps(("idle",)))

    def _start(self, job: _Job) -> None:
        job.scratch, job.lock = self._store.open_scratch("layer")
        job.channel, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        job.pid = os.fork()
        if job.pid == 0:
            _work(job, inner, self._store, [self._selector, self._channel, job.channel])
        inner.close()
        os.close(job.source_fd)
        job.source_fd = -1
        job.state = "working"
        self._selector.register(job.channel, selectors.EVENT_READ, job)

    def _release(self, job: _Job) -> None:
        """End the worker, which is done or to be stopped, and remove what it left."""
        if job.channel is not None:
            self._selector.unregister(job.channel)
            job.channel.close()
            job.channel = None
        if job.pid:
            os.kill(job.pid, _SIGKILL)
            os.waitpid(job.pid, 0)
            job.pid = 0
        if job.source_fd >= 0:
            os.close(job.source_fd)
            job.source_fd = -1
        if job.lock >= 0:
            files.remove_tree(job.scratch, missing_ok=True)
            os.close(job.lock)
            job.lock = -1

    def _fail(self, message: tuple[Any, ...]) -> None:
        """One layer that fails spoils all: stop the others, and tell the host when it asks."""
        self._failure = message
        self._give_up()
        if self._ending:
            self._channel.send(marshal.dumps(message))

    def _give_up(self) -> None:
        self._queue.clear()
        for job in self._jobs.values():
            self._release(job)


def _work(job: _Job, channel: socket.socket, store: LayerStore, inherited: list[Any]) -> NoReturn:
    """WORKER.  One layer; never returns into the foreman's stack."""
    from rootless.kernel import process

    answer: tuple[Any, ...] = (
        "failed",
        "StoreFailed",
        "a process that unpacks layers failed",
        None,
    )
    try:
        process.set_parent_death_signal(_SIGKILL)
        for each in inherited:
            each.close()
        answer = _unpack(job, channel, store)
    except RootlessError as error:
        answer = ("failed", type(error).__name__, error.message, error.hint)
    except OSError as error:
        answer = ("failed", "StoreFailed", f"cannot unpack a layer: {error}", None)
    except BaseException:
        import traceback

        answer = (
            "failed",
            "StoreFailed",
            f"unpacking a layer failed: {traceback.format_exc()}",
            None,
        )
    finally:
        try:
            channel.send(marshal.dumps(answer))
        finally:
            os._exit(0)


def _unpack(job: _Job, channel: socket.socket, store: LayerStore) -> tuple[Any, ...]:
    def lower() -> Stack:
        channel.send(marshal.dumps(("extracted",)))
        if not channel.recv(_LARGEST_MESSAGE):
            raise ImageRefused("the parent of the layer failed")
        return store.stack(job.parent)

    request = UnpackRequest(
        job.source_fd, job.compression, job.diff_id, store.form.whiteouts, store.id_map
    )
    directory = f"{job.scratch}/diff"
    os.mkdir(directory, 0o755)
    tree = unpack(request, directory, lower)
    store.publish(
        job.scratch,
        job.chain_id,
        parent=job.parent,
        diff_id=job.diff_id,
        size_bytes=tree.size_bytes,
        kept=tree.kept,
    )
    return ("unpacked", job.chain_id, tree.size_bytes, tree.notices)
