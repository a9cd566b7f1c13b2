"""A report for engine functions that costs nothing until the first event."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING

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
            from rootless.cli.progress import progress

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
