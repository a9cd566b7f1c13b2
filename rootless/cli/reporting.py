"""A report for engine functions that costs nothing until the first event."""

from __future__ import annotations

import os
import sys

from rootless.typed import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rootless.cli.progress import Progress
    from rootless.events import Event


class Reporting:
    """Progress on standard error; imports and draws only when something is reported."""

    def __init__(self, *, quiet: bool = False, style: str = "auto") -> None:
        self.quiet = quiet
        self.style = style
        self.progress: Progress | None = None

    def __call__(self, event: Event) -> None:
        if self.progress is None:
            self.progress = progress(quiet=self.quiet, style=self.style)
        self.progress(event)

    def __enter__(self) -> Reporting:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.progress is not None:
            self.progress.close(failed=isinstance(error, Exception))


def progress(*, quiet: bool = False, style: str = "auto") -> Progress:
    """A context whose value reports; ``style`` is as after docker's ``--progress``."""
    from rootless.cli.progress import JsonProgress, PlainProgress, Progress

    if quiet or style in ("quiet", "none"):
        return Progress(sys.stderr)
    if style in ("rawjson", "json"):
        return JsonProgress(sys.stderr)
    if style == "plain" or (style == "auto" and not _is_live(sys.stderr)):
        return PlainProgress(sys.stderr)
    from rootless.cli.live import LiveProgress

    return LiveProgress(sys.stderr)


def _is_live(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in (None, "dumb")
