"""Parts of a build that only some builds need, imported when they are: a cached build is short."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.build.cache import Record
    from rootless.build.steps import RunStep
    from rootless.build.workshop import Place
    from rootless.engine import Engine
    from rootless.engine.build_cache import Imported
    from rootless.engine.build_launch import BuildLauncher
    from rootless.engine.build_requests import BuildRequest
    from rootless.events import Report


class Launcher:
    """A launcher (build.workshop.Launcher) that is made when something is to be launched."""

    def __init__(self, engine: Engine, request: BuildRequest, report: Report):
        self._arguments = engine, request, report
        self._made: BuildLauncher | None = None

    def _launcher(self) -> BuildLauncher:
        if self._made is None:
            from rootless.engine.build_launch import BuildLauncher

            self._made = BuildLauncher(*self._arguments)
        return self._made

    def check(self, steps: tuple[RunStep, ...]) -> None:
        """Before anything runs: what a step asks for must be possible."""
        self._launcher().check(steps)

    def run(self, step: RunStep, place: Place, stdio: tuple[int, int, int]) -> int:
        return self._launcher().run(step, place, stdio)

    def emulated_owner(self, step: RunStep, place: Place) -> tuple[int, int] | None:
        return self._launcher().emulated_owner(step, place)

    def shell(self, step: RunStep, place: Place) -> None:
        self._launcher().shell(step, place)


class ImportedCaches:
    """What ``--cache-from`` names."""

    def __init__(self, engine: Engine, request: BuildRequest, report: Report, scratch: str):
        self._engine = engine
        self._scratch = scratch
        self.opened: list[Imported] = []
        if request.cache_from:
            from rootless.build import grammar
            from rootless.engine import build_cache
            from rootless.engine.registries import access_of

            self.opened = build_cache.open_caches(
                engine,
                [grammar.parse_cache(text, "--cache-from") for text in request.cache_from],
                scratch=scratch,
                access=access_of(request),
                report=report,
            )

    def fetch(self, record: Record) -> bool:
        """Bring the blob of a record here; whether one of them has it."""
        if not self.opened:
            return False
        from rootless.engine import build_cache

        return build_cache.fetcher(self._engine, self.opened, self._scratch)(record)

    def restore_mounts(self, ids: list[str]) -> None:
        """Fill the cache mounts that are new here."""
        if self.opened:
            from rootless.engine import build_cache

            build_cache.restore_mounts(self._engine, self.opened, ids, self._scratch)
