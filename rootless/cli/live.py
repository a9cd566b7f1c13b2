"""Live progress on a terminal, in plain ANSI: rich would cost more than most pulls of small images."""

from __future__ import annotations

import os
import time

from rootless.cli import phrases
from rootless.cli.progress import Progress
from rootless.events import Notice, StepDone, StepOutput, StepStarted, Transfer
from rootless.typed import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rootless.events import Event

_INTERVAL_S = 0.1
_TAIL_LINES = 6
_BAR_WIDTH = 30
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_FINAL = ("done", "exists", "cached")


class _Meter:
    """One transfer: where it is and how fast it goes."""

    def __init__(self, event: Transfer) -> None:
        self.event = event
        self.started = time.monotonic()

    def update(self, event: Transfer) -> None:
        if event.action != self.event.action:
            self.started = time.monotonic()
        self.event = event

    def line(self) -> str:
        event = self.event
        name = phrases.short_id(event.name).ljust(12)
        if event.action in _FINAL or not event.done_bytes:
            return f"{name}  {event.action}"
        rate = event.done_bytes / max(time.monotonic() - self.started, 0.001)
        done = phrases.human_size(event.done_bytes)
        if not event.total_bytes:
            return f"{name}  {event.action}  {done}  {phrases.human_size(rate)}/s"
        filled = min(_BAR_WIDTH, _BAR_WIDTH * event.done_bytes // event.total_bytes)
        bar = ("=" * filled + ">")[:_BAR_WIDTH].ljust(_BAR_WIDTH)
        total = phrases.human_size(event.total_bytes)
        return f"{name}  {event.action.ljust(11)}  [{bar}]  {done}/{total}  {phrases.human_size(rate)}/s"


class _Step:
    """One running build step and the last lines that it wrote."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.tail: list[str] = [""]

    def add(self, data: bytes) -> None:
        text = data.decode(errors="replace").replace("\r\n", "\n")
        first, *others = text.split("\n")
        self.tail[-1] = (self.tail[-1] + first).rpartition("\r")[2][-400:]
        self.tail += [line.rpartition("\r")[2][-400:] for line in others]
        del self.tail[: -_TAIL_LINES - 1]

    def lines(self) -> list[str]:
        shown = [line for line in self.tail if line][-_TAIL_LINES:]
        elapsed = time.monotonic() - self.started
        return [f"{self.name}  {elapsed:.1f}s", *(f"  {phrases.printable(line)}" for line in shown)]


class LiveProgress(Progress):
    """A block of lines at the end of the screen that is drawn again and again."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.meters: dict[str, _Meter] = {}
        self.steps: dict[int, _Step] = {}
        self.height = 0
        self.drawn = 0.0

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        match event:
            case Notice(text=text, level="info"):
                self.keep(phrases.printable(text))
            case Transfer(name=name):
                if name in self.meters:
                    self.meters[name].update(event)
                else:
                    self.meters[name] = _Meter(event)
            case StepStarted(step=step, name=name):
                self.steps[step] = _Step(phrases.printable(name))
            case StepOutput(step=step, data=data):
                if step in self.steps:
                    self.steps[step].add(data)
            case StepDone(step=step, cached=cached, seconds=seconds):
                running = self.steps.pop(step, None)
                if running:
                    self.keep(f"{running.name}  {'CACHED' if cached else f'{seconds:.1f}s'}")
            case _:
                pass
        if self.is_settled():
            self.close(failed=False)
        elif time.monotonic() - self.drawn >= _INTERVAL_S:
            self.draw()

    def is_settled(self) -> bool:
        """Whether all that was begun is done: then somebody else may write to the terminal."""
        return not self.steps and all(m.event.action in _FINAL for m in self.meters.values())

    def write(self, text: str) -> None:
        """Lines that stay go above the block."""
        super().write(self.erasing() + text)

    def keep(self, line: str) -> None:
        """A line that stays."""
        self.write(line + "\n")

    def erasing(self) -> str:
        """What takes the block away."""
        height, self.height = self.height, 0
        return f"\x1b[{height}A\r\x1b[J" if height else ""

    def draw(self) -> None:
        """The block as it is now, cut to the size of the terminal."""
        size = _terminal_size(self.stream)
        lines = [meter.line() for meter in self.meters.values()]
        for step in self.steps.values():
            lines += step.lines()
        lines = lines[-(size.lines - 1) :]
        block = "".join(f"{_dim(line[: size.columns - 1])}\n" for line in lines)
        text = self.erasing() + block
        self.height = len(lines)
        self.drawn = time.monotonic()
        Progress.write(self, text)

    def close(self, *, failed: bool) -> None:
        self.steps.clear()
        self.draw()
        self.meters.clear()
        self.height = 0  # what is there now stays
        super().close(failed=failed)


def _dim(line: str) -> str:
    return f"{_DIM}{line}{_PLAIN}" if line.startswith("  ") else line


def _terminal_size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except OSError:
        return os.terminal_size((80, 24))
