"""Builds one stage: each step is found in the cache, or done and recorded there.

``advance`` without ``execute`` only looks things up, which needs no child and no mount; a worker then goes
on from where that ended (build.workers).
"""

from __future__ import annotations

import os
import time

from rootless.build.inputs import Inputs
from rootless.build.keys import slot_key, step_key, step_parts
from rootless.build.steps import CopyStep, RunStep, trees_of
from rootless.build.stored import is_usable
from rootless.build.trees import Trees
from rootless.errors import BuildFailed, RootlessError
from rootless.events import Notice, StepDone, StepStarted
from rootless.image.digest import chain_id
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.build.cache import Record
    from rootless.build.plan import StagePlan
    from rootless.build.steps import Step
    from rootless.build.workshop import Workshop
    from rootless.events import Report
    from rootless.image.digest import ChainID, Digest


class StageRun:
    """A stage on its way.  ``chain`` are its layers so far, ``records`` those that the build added."""

    def __init__(
        self,
        plan: StagePlan,
        workshop: Workshop,
        built: Mapping[str, tuple[ChainID, ...]],
        *,
        first_step: int,
        title: str,
    ):
        self.plan = plan
        self.chain: tuple[ChainID, ...] = ()
        self.records: tuple[Record, ...] = ()
        self.position = 0
        self._begun = False
        self.stdio = (0, 1, 2)
        self.used: dict[Digest, Record] = {}  # by key, for an export of the cache
        self.verdicts: list[str] = []  # for --explain: a line a step
        self._workshop = workshop
        self._built = built
        self._first_step = first_step
        self._title = title
        self._trees = Trees(workshop, built)
        self._inputs = Inputs(workshop, self._trees)
        settings = workshop.settings
        self._cached = not settings.no_cache and not {plan.name, str(plan.number)} & (
            settings.no_cache_stages
        )

    @property
    def finished(self) -> bool:
        return self._begun and self.position == len(self.plan.steps)

    def begin(self, chain: tuple[ChainID, ...], records: tuple[Record, ...]) -> None:
        """Stand on an image (no records) or on a finished stage."""
        self.chain, self.records = chain, records
        self._begun = True

    def advance(self, report: Report, *, execute: bool) -> bool:
        """Go on until the stage is finished, or without ``execute`` until a step is not in the cache."""
        while self.position < len(self.plan.steps):
            step = self.plan.steps[self.position]
            if not self._is_ready(step):
                return False
            try:
                if not self._advance(step, report, execute=execute):
                    return False
            except RootlessError as error:
                raise self._located(step, error) from None
            except OSError as error:
                problem = f"{error.filename or step.title}: {error.strerror}"
                raise self._located(step, BuildFailed(problem)) from None
        return True

    def _advance(self, step: Step, report: Report, *, execute: bool) -> bool:
        started = time.monotonic()
        number = self._first_step + self.position
        lookup = _Lookup(self, step)
        record = lookup.find() if self._cached else None
        if record is None and execute and self._cached:
            record = lookup.find_by_content()
        if record is None and not execute:
            self.verdicts.append(self._miss(lookup))
            return False
        report(StepStarted(number, self.name_of(step)))
        cached = record is not None
        if record is None:
            lookup.prepare()
            record = self._do(step, number, report)
            lookup.keep(record)
        self.used |= dict.fromkeys(lookup.keys, record)
        self.verdicts.append("hit" if cached else "built")
        self._go_on(record)
        report(StepDone(number, cached, time.monotonic() - started))
        return True

    def _located(self, step: Step, error: RootlessError) -> RootlessError:
        """The same error with the file and the line of the instruction in front."""
        place = f"{self._workshop.settings.dockerfile}:{step.line}"
        return type(error)(f"{place}: {error.message}", hint=error.hint, exit_code=error.exit_code)

    def save(self) -> None:
        """Keep what was learned about the context's files."""
        self._workshop.digests.save()

    def name_of(self, step: Step) -> str:
        """``[builder 2/5] RUN make``, counting FROM as docker does."""
        on_image = self.plan.base.kind == "image"
        total = len(self.plan.steps) + on_image
        place = self.plan.steps.index(step, self.position) + 1 + on_image
        return f"[{self._title}{place:>{len(str(total))}}/{total}] {step.title}"

    def _is_ready(self, step: Step) -> bool:
        return all(tree.kind != "stage" or tree.name in self._built for tree in trees_of(step))

    def _miss(self, lookup: _Lookup) -> str:
        return f"miss: {lookup.why()}" if self._cached else "not looked up (--no-cache)"

    def _go_on(self, record: Record) -> None:
        parent = self.chain[-1] if self.chain else None
        self.chain = (*self.chain, chain_id(parent, record.diff_id))
        self.records = (*self.records, record)
        self.position += 1

    def _do(self, step: Step, number: int, report: Report) -> Record:
        from rootless.build import perform

        bundle = f"{self._workshop.scratch}/step-{os.getpid()}-{number}"
        os.mkdir(bundle, 0o700)
        work = perform.Work(
            self._workshop,
            self._trees,
            self._inputs,
            chain=self.chain,
            bundle=bundle,
            stdio=self.stdio,
        )
        try:
            if isinstance(step, RunStep):
                return work.run(step)
            if isinstance(step, CopyStep):
                return work.copy(step)
            return work.make_directory(step)
        finally:
            self._workshop.layers.remove(bundle)
            for text in work.notices:
                report(Notice(text, "warning"))

    # -- what a lookup needs -------------------------------------------------------------------

    @property
    def parent(self) -> ChainID | None:
        return self.chain[-1] if self.chain else None

    @property
    def workshop(self) -> Workshop:
        return self._workshop

    @property
    def inputs(self) -> Inputs:
        return self._inputs


class _Lookup:
    """One step and the cache: its keys, what is known under them, what is recorded."""

    def __init__(self, stage: StageRun, step: Step):
        self._stage = stage
        self._step = step
        self._workshop = stage.workshop
        self._contents: dict[str, str] = {}
        self._parts: dict[str, str] = {}
        self.keys: list[Digest] = []

    def find(self) -> Record | None:
        """By the identity of what the step reads: layers by chain ID, contexts by content."""
        self._identify(by_content=False)
        return self._known()

    def find_by_content(self) -> Record | None:
        """By the content of the files that are copied from layers, which may be the same in others."""
        if not isinstance(self._step, CopyStep) or not self._stage.inputs.reads_layers(self._step):
            return None
        self._identify(by_content=True)
        record = self._known()
        if record is not None:
            self.keep(record)
        return record

    def prepare(self) -> None:
        """Make sure that there is a key to record under; without the cache nothing was looked up."""
        if not self.keys:
            self._identify(by_content=False)

    def why(self) -> str:
        """Why it was not found."""
        return self._workshop.cache.explain_miss(slot_key(self._step), self._parts, self._contents)

    def keep(self, record: Record) -> None:
        """Remember what the step made, under every key that was asked for."""
        for key in self.keys:
            self._workshop.cache.record(key, record)
        self._workshop.cache.remember_parts(slot_key(self._step), self._parts, self._contents)

    def _identify(self, *, by_content: bool) -> None:
        digests = self._stage.inputs.digests(self._step, self._contents, by_content=by_content)
        parts = step_parts(
            self._step,
            self._stage.parent or "",
            digests,
            timestamp=self._workshop.settings.timestamp,
            limits=self._workshop.settings.limits,
        )
        if by_content:
            parts["by"] = "content"
        else:
            self._parts = parts
        self.keys.append(step_key(parts))

    def _known(self) -> Record | None:
        """What is recorded under the latest key, if the layer really is there."""
        key = self.keys[-1]
        record = self._workshop.cache.find(key)
        if record is None or not is_usable(self._workshop, record, self._stage.parent):
            return None
        return record


def explain(runs: Iterator[StageRun] | list[StageRun]) -> list[str]:
    """``--explain``: every step of every stage, with what the cache says."""
    lines = []
    for run in runs:
        lines.append(f"stage {run.plan.label} on {run.plan.base} for {run.plan.platform}")
        verdicts = [*run.verdicts, *["follows a miss"] * len(run.plan.steps)]
        for step, verdict in zip(run.plan.steps, verdicts, strict=False):
            lines.append(f"  {step}")
            lines.append(f"    {verdict}")
    return lines
