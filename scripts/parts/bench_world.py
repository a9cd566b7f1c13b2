"""What the rows of the benchmark stand on: stores for both sides, a registry, and a fair stop-watch."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support import capabilities
from tests.support.cli import remove_as_owner
from tests.support.images import Images
from tests.support.podman import FORMAT, configuration, unfair
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

Command = list[str]


class Sample(NamedTuple):
    """One run: wall clock, and the processor time of everything that it started."""

    wall_s: float
    cpu_s: float


class World:
    """A temporary place in which both sides have a store with the same images."""

    def __init__(self, pairs: int):
        self.pairs = pairs
        self.done: set[str] = set()  # what is prepared once and used by several rows
        self.more: dict[str, Registry] = {}
        self.directory = tempfile.mkdtemp(prefix="rootless-bench-")
        self.rootless = str(Path(sys.executable).parent / "rootless")
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH", "XDG_RUNTIME_DIR", "USER")},
            "LANG": "C.UTF-8",
            "ROOTLESS_HOME": f"{self.directory}/rootless",
            **configuration(f"{self.directory}/podman"),
        }
        self.registry = Registry(f"{self.directory}/registry")
        self.images = Images(self.registry, f"{self.directory}/images")
        conf = self.images.registries_conf(f"{self.directory}/registries.conf")
        self.environment["CONTAINERS_REGISTRIES_CONF"] = conf
        top = capabilities.own_cgroup()
        wrong = unfair(self.run(["podman", "info", "--format", FORMAT]), self.directory)
        if wrong:
            raise Failed(f"no fair comparison: {wrong}")
        self._cpu_stat = f"{os.path.dirname(top)}/cpu.stat" if top else None

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        # podman keeps a process that holds its namespaces; this ends it.
        self.run(["podman", "system", "migrate"], check=False)
        self.registry.stop()
        remove_as_owner(self.directory)

    def ours(self, *argv: str) -> Command:
        return [self.rootless, *argv]

    def run(self, command: Command, *, check: bool = True, **options: object) -> str:
        """Run to the end; standard output.  A failure ends the row with what the command said."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            **options,  # type: ignore[call-overload] # cwd, timeout
        )
        if check and done.returncode:
            raise Failed(f"{' '.join(command[-6:])}: {done.stderr.strip()[-3000:]}")
        return str(done.stdout)

    def both_pull(self, reference: str) -> None:
        self.run(self.ours("pull", "-q", reference))
        self.run(["podman", "pull", "-q", "--tls-verify=false", reference])

    def both_forget(self, reference: str) -> None:
        """Remove the image on both sides, and make sure that it is gone.

        A removal that silently failed would make the next pull look a hundred times too fast.
        """
        for tool in (self.ours(), ["podman"]):
            self.run([*tool, "rmi", "-f", reference], check=False)
            if self.run([*tool, "images", "-q", reference], check=False).strip():
                raise Failed(f"{tool[0]} still has {reference} after rmi")
            self.run([*tool, "image", "prune", "-f"], check=False)

    def timed(self, command: Command, **options: object) -> Sample:
        """One run, output thrown away."""
        cpu = self._cpu_s()
        begin = time.perf_counter()
        self.run(command, **options)
        wall = time.perf_counter() - begin
        return Sample(wall, self._cpu_s() - cpu)

    def _cpu_s(self) -> float:
        """Processor time of our whole cgroup: also that of helpers which outlive the command."""
        if not self._cpu_stat:
            times = os.times()
            return times.children_user + times.children_system
        with open(self._cpu_stat, encoding="ascii") as file:
            return int(file.readline().split()[1]) / 1e6

    def alternate(
        self,
        ours: Command,
        theirs: Command,
        *,
        pairs: int | None = None,
        before: Callable[[], object] | None = None,
    ) -> tuple[Sample, Sample]:
        """Medians of both after a warm-up of each; ``before`` runs before every command, untimed."""
        samples: dict[int, list[Sample]] = {0: [], 1: []}
        for number in range((pairs or self.pairs) + 1):
            for side, command in enumerate((ours, theirs)):
                if before:
                    before()
                sample = self.timed(command)
                if number:
                    samples[side].append(sample)
        return _median(samples[0]), _median(samples[1])

    def folder(self, name: str) -> str:
        path = f"{self.directory}/{name}"
        os.makedirs(path, exist_ok=True)
        return path

    def has(self, *programs: str) -> bool:
        return all(shutil.which(program) for program in programs)


class Failed(Exception):
    """A command of a row ended with an error."""


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        statistics.median(each.wall_s for each in samples),
        statistics.median(each.cpu_s for each in samples),
    )
