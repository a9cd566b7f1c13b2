"""Builds stages beside each other: a forked worker for each, one loop that listens to them all.

A worker has one thread and forks in its turn, as launching demands.  It writes frames (length, marshal) to
a pipe; what its programs print comes through two more.  Everything dies with the process that listens.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import time

from rootless import errors
from rootless.build import child
from rootless.build.cache import Record
from rootless.errors import BuildFailed, RootlessError
from rootless.events import Notice, StepDone, StepOutput, StepStarted
from rootless.kernel import process
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.stage_run import StageRun
    from rootless.events import Event, Report
    from rootless.image.digest import ChainID

_CHUNK = 1 << 16
_FRAME_BYTES = 4
_END_LIMIT_S = 5.0
_EVENTS: dict[str, type[Notice] | type[StepStarted] | type[StepDone]] = {
    each.__name__: each for each in (Notice, StepStarted, StepDone)
}


class _Streams(NamedTuple):
    """The ends that the listener holds."""

    control: int
    output: int
    error: int


class _Worker:
    """One stage that is being built."""

    def __init__(self, run: StageRun, *, interactive: bool):
        self.run = run
        self.step = -1
        self._buffer = b""
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in _Streams._fields]
        self.streams = _Streams(*(pair[0] for pair in pairs))
        control, output, error = (pair[1] for pair in pairs)
        self.pid = child.fork(lambda: _work(run, control, output, error, interactive=interactive))
        for each in (control, output, error):
            os.close(each)
        os.set_blocking(self.streams.output, False)
        os.set_blocking(self.streams.error, False)

    def frames(self) -> list[tuple[str, tuple[Any, ...]]] | None:
        """What came over the control pipe; None at its end."""
        chunk = os.read(self.streams.control, _CHUNK)
        if not chunk:
            return None
        self._buffer += chunk
        found = []
        while len(self._buffer) >= _FRAME_BYTES:
            size = int.from_bytes(self._buffer[:_FRAME_BYTES], "little")
            if len(self._buffer) < _FRAME_BYTES + size:
                break
            found.append(marshal.loads(self._buffer[_FRAME_BYTES : _FRAME_BYTES + size]))
            self._buffer = self._buffer[_FRAME_BYTES + size :]
        return found

    def drain(self, report: Report) -> None:
        """Pass on what its programs have printed by now."""
        for number, fd in ((1, self.streams.output), (2, self.streams.error)):
            while True:
                try:
                    chunk = os.read(fd, _CHUNK)
                except BlockingIOError:
                    break
                if not chunk:
                    break
                report(StepOutput(self.step, number, chunk))

    def close(self) -> None:
        for fd in self.streams:
            os.close(fd)


def build_stages(
    runs: list[StageRun],
    built: dict[str, tuple[ChainID, ...]],
    report: Report,
    *,
    jobs: int,
    interactive: bool = False,
) -> None:
    """Finish all stages, as many at a time as ``jobs`` says; ``built`` receives their layers.

    Raises the first failure, after every worker and all that it started is gone.
    """
    process.become_subreaper()
    waiting = [run for run in runs if not run.finished]
    workers: dict[int, _Worker] = {}
    try:
        while waiting or workers:
            for run in [each for each in waiting if _is_ready(each, built)]:
                if len(workers) < jobs:
                    waiting.remove(run)
                    _begin(run, runs, built)
                    worker = _Worker(run, interactive=interactive)
                    workers[worker.streams.control] = worker
            _listen(workers, built, report)
    except BaseException:
        _end(workers)
        raise


def _is_ready(run: StageRun, built: Mapping[str, tuple[ChainID, ...]]) -> bool:
    trees = (run.plan.base, *run.plan.needs)
    return all(tree.kind != "stage" or tree.name in built for tree in trees)


def _begin(run: StageRun, runs: list[StageRun], built: Mapping[str, tuple[ChainID, ...]]) -> None:
    """A stage on top of another starts with what that one ended with."""
    base = run.plan.base
    if run.position == 0 and base.kind == "stage":
        below = next(each for each in runs if str(each.plan.number) == base.name)
        run.begin(built[base.name], below.records)


def _listen(
    workers: dict[int, _Worker], built: dict[str, tuple[ChainID, ...]], report: Report
) -> None:
    """Wait for something to be said, and act on it."""
    by_stream = {fd: worker for worker in workers.values() for fd in worker.streams}
    poll = select.poll()
    for fd in by_stream:
        poll.register(fd, select.POLLIN)
    for fd, _ in poll.poll():
        worker = by_stream[fd]
        if worker.streams.control not in workers:
            continue  # it finished while we went through what poll said
        if fd != worker.streams.control:
            worker.drain(report)
            continue
        frames = worker.frames()
        # A program has printed everything by the time its step is reported done.
        worker.drain(report)
        if frames is None:
            _died(worker, workers)
        for kind, fields in frames or ():
            if kind == "result":
                _finish(worker, fields, workers, built)
            else:
                _act(worker, kind, fields, report)


def _act(worker: _Worker, kind: str, fields: tuple[Any, ...], report: Report) -> None:
    if kind == "error":
        _raise_again(*fields)
    event: Event = _EVENTS[kind](*fields)
    if isinstance(event, StepStarted):
        worker.step = event.step
    report(event)


def _raise_again(name: str, *fields: Any) -> NoReturn:
    if name == "bug":
        raise RuntimeError(str(fields[0]))
    message, hint, exit_code = fields
    raised: RootlessError = getattr(errors, name)(message, hint=hint, exit_code=exit_code)
    raise raised


def _finish(
    worker: _Worker,
    fields: tuple[Any, ...],
    workers: dict[int, _Worker],
    built: dict[str, tuple[ChainID, ...]],
) -> None:
    chain, records, used = fields
    run = worker.run
    run.begin(tuple(chain), tuple(Record(*each) for each in records))
    run.position = len(run.plan.steps)
    run.used = {key: Record(*each) for key, each in used}
    built[str(run.plan.number)] = run.chain
    del workers[worker.streams.control]
    worker.close()
    os.waitpid(worker.pid, 0)


def _died(worker: _Worker, workers: dict[int, _Worker]) -> NoReturn:
    del workers[worker.streams.control]
    worker.close()
    _, status = os.waitpid(worker.pid, 0)
    raise BuildFailed(f"the worker of stage {worker.run.plan.label} died with wait status {status}")


def _end(workers: dict[int, _Worker]) -> None:
    """Kill the workers and wait until their containers, which come to us then, are gone too."""
    for worker in workers.values():
        os.kill(worker.pid, signal.SIGKILL)
        worker.close()
    limit = time.monotonic() + _END_LIMIT_S
    while time.monotonic() < limit:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.005)


def _work(run: StageRun, control: int, output: int, error: int, *, interactive: bool) -> None:
    """CHILD SIDE: build the stage."""
    if not interactive:
        # A program that ends our terminal's foreground job ends the listener, and that ends us.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def say(kind: str, fields: tuple[Any, ...]) -> None:
        content = marshal.dumps((kind, fields))
        frame = len(content).to_bytes(_FRAME_BYTES, "little") + content
        while frame:
            frame = frame[os.write(control, frame) :]

    def report(event: Event) -> None:
        say(type(event).__name__, tuple(event))

    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    run.stdio = (null, output, error)
    try:
        run.advance(report, execute=True)
        run.save()
        used = tuple((key, tuple(record)) for key, record in run.used.items())
        say("result", (run.chain, tuple(map(tuple, run.records)), used))
    except RootlessError as failure:
        say("error", (type(failure).__name__, failure.message, failure.hint, failure.exit_code))
    except BaseException:
        import traceback

        say("error", ("bug", traceback.format_exc()))
