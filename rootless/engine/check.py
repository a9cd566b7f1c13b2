"""``system check``: whether everything that is stored is what it claims to be, and its repair.

Looking holds off prune and takes nothing from others; repairing wants the store alone for a moment.
What killed commands left is no damage: it is told apart, and the next command clears it away.
"""

from __future__ import annotations

from rootless import files
from rootless.events import ignore
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report


class CheckRequest(NamedTuple):
    """How thoroughly to look, and what to do about it.

    ``quick`` reads no content, only names, sizes and records.  ``force`` lets a repair also remove what
    cannot be made whole but may be of use: damaged containers, images that only run.
    """

    repair: bool = False
    quick: bool = False
    force: bool = False


class Finding(NamedTuple):
    """Something that is not as it should be.

    ``kind`` is index, blob, image, record, layer, container, name, volume or network; ``path`` is the
    file or directory at fault.
    """

    kind: str
    name: str
    problem: str
    path: str = ""


class Checked(NamedTuple):
    """How many of what were looked at, what is damaged, and what nobody needs any more.

    After a repair ``findings`` is what is left, and ``done`` what was done.
    """

    counts: dict[str, int]
    findings: tuple[Finding, ...]
    remnants: tuple[str, ...]
    done: tuple[str, ...] = ()


class Checkup:
    """What one look at the store has found so far."""

    def __init__(self, engine: Engine, *, quick: bool):
        self.engine = engine
        self.quick = quick
        self.counts: dict[str, int] = {}
        self.findings: list[Finding] = []
        self.remnants: list[str] = []
        self.broken: set[str] = set()  # digests of blobs whose content is another

    def count(self, kind: str, number: int = 1) -> None:
        """So many more of a kind were looked at."""
        self.counts[kind] = self.counts.get(kind, 0) + number

    def find(self, kind: str, name: str, problem: str, path: str = "") -> None:
        """Note some damage."""
        self.findings.append(Finding(kind, name, problem, path))

    def has(self, kind: str) -> bool:
        """Whether something of that kind is damaged."""
        return any(each.kind == kind for each in self.findings)


def check(engine: Engine, request: CheckRequest, report: Report = ignore) -> Checked:
    """Look at the whole store; with ``repair`` mend it and look again.

    Raises Conflict when a repair finds the store in use by another process.
    """
    checkup = _look(engine, quick=request.quick)
    done: tuple[str, ...] = ()
    if request.repair and checkup.findings:
        from rootless.engine.check_repair import repair

        done = repair(checkup, report, force=request.force)
        remnants = checkup.remnants
        counts = checkup.counts
        # Whatever was brought again was verified on its way, so names and sizes tell what is left.
        checkup = _look(engine, quick=True)
        checkup.remnants, checkup.counts = remnants, counts
    return Checked(
        counts=checkup.counts,
        findings=tuple(checkup.findings),
        remnants=tuple(checkup.remnants),
        done=done,
    )


def _look(engine: Engine, *, quick: bool) -> Checkup:
    from rootless.engine import check_containers, check_images, check_layers

    checkup = Checkup(engine, quick=quick)
    _note_unfinished(checkup)
    with engine.use_store():
        check_images.check(checkup)
        check_layers.check(checkup)
        check_containers.check(checkup)
    return checkup


def _note_unfinished(checkup: Checkup) -> None:
    """Trees that nobody holds; ``use_store`` removes them."""
    import os

    paths = checkup.engine.paths
    left = 0
    for name in os.listdir(paths.scratch):
        path = f"{paths.scratch}/{name}"
        lock = files.lock_directory(path, wait=False) if os.path.isdir(path) else None
        if lock is not None:
            os.close(lock)
            left += 1
    if left:
        checkup.remnants.append(f"{left} unfinished trees of killed commands, removed now")
    trash = os.listdir(paths.trash)
    if trash:
        checkup.remnants.append(f"{len(trash)} trees in the trash, of removals that go on or ended")
