"""Progress of pulls and builds on standard error: live on a terminal, plain lines otherwise."""

from __future__ import annotations

import time

from rootless.cli import phrases
from rootless.events import Notice, StepDone, StepOutput, StepStarted, Transfer
from rootless.typed import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rootless.events import Event

_LONGEST_LINE = 64 << 10  # bytes; a longer one is shown in parts
_KEPT_BYTES = 64 << 10  # of a step's output, shown if it fails


class Progress:
    """Shows warnings, and what failed; nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.kept: dict[int, bytearray] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(failed=isinstance(error, Exception))

    def __call__(self, event: Event) -> None:
        match event:
            case Notice(text=text, level="warning"):
                self.write(f"Warning: {phrases.printable(text)}\n")
            case StepOutput(step=step, data=data):
                kept = self.kept.setdefault(step, bytearray())
                kept += data
                del kept[:-_KEPT_BYTES]
            case StepDone(step=step):
                self.kept.pop(step, None)
            case _:
                pass

    def write(self, text: str) -> None:
        """Text for a person; nobody reading it is no failure of the work."""
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            pass

    def close(self, *, failed: bool) -> None:
        """The end; the output of steps that did not end well is shown."""
        if failed:
            for kept in self.kept.values():
                text = kept.decode(errors="replace")
                self.write(text if text.endswith("\n") else text + "\n")


class PlainProgress(Progress):
    """Lines that a log can keep."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.actions: dict[str, str] = {}
        self.partial: dict[int, bytes] = {}
        self.started: dict[int, float] = {}
        self.numbers: dict[int, int] = {}  # shown for a step: in the order of their beginning

    def __call__(self, event: Event) -> None:
        match event:
            case Notice(text=text, level=level):
                prefix = "Warning: " if level == "warning" else ""
                self.write(f"{prefix}{phrases.printable(text)}\n")
            case Transfer():
                self.transfer(event)
            case StepStarted(step=step, name=name):
                self.started[step] = time.monotonic()
                self.write(f"{self.number(step)} {phrases.printable(name)}\n")
            case StepOutput(step=step, data=data):
                self.output(step, data)
            case StepDone(step=step, cached=cached, seconds=seconds):
                self.flush_partial(step)
                self.write(
                    f"{self.number(step)} {'CACHED' if cached else f'DONE {seconds:.1f}s'}\n"
                )

    def number(self, step: int) -> str:
        """Steps that are not needed leave no gap."""
        return f"#{self.numbers.setdefault(step, len(self.numbers) + 1)}"

    def transfer(self, event: Transfer) -> None:
        """One line for each kind of work on each name."""
        if self.actions.get(event.name) == event.action:
            return
        self.actions[event.name] = event.action
        size = f" {phrases.human_size(event.total_bytes)}" if event.total_bytes else ""
        self.write(f"{phrases.short_id(event.name)}: {event.action}{size}\n")

    def output(self, step: int, data: bytes) -> None:
        """Whole lines with the seconds since the step began."""
        elapsed = time.monotonic() - self.started.get(step, time.monotonic())
        *lines, rest = (self.partial.pop(step, b"") + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:  # a program need not ever end its line
            lines, rest = [*lines, rest], b""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            self.write(f"{self.number(step)} {elapsed:.3f} {text}\n")
        if rest:
            self.partial[step] = rest

    def flush_partial(self, step: int) -> None:
        """A last line without its end."""
        if step in self.partial:
            self.output(step, b"\n")

    def close(self, *, failed: bool) -> None:
        for step in tuple(self.partial):
            self.flush_partial(step)


class JsonProgress(Progress):
    """One JSON document a line."""

    def __call__(self, event: Event) -> None:
        import json

        fields = {
            key: value.decode(errors="replace") if isinstance(value, bytes) else value
            for key, value in event._asdict().items()
        }
        self.write(json.dumps({"event": type(event).__name__, **fields}) + "\n")
