"""kill -9 of whatever belongs to a container, at any moment: what is said stays true, all can be removed.

Moments are random; the seed is printed with a failure.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

import pytest

from tests.support.processes import commands, named, using
from tests.support.waiting import wait_until

SEED = int(os.environ.get("ROOTLESS_TEST_SEED", time.time_ns() % 1_000_000))
VICTIMS = (
    "monitor",
    "init",
    "helper",
    "run -d",
    "run --rm",
    "run -i",
    "start",
    "exec",
    "rm",
    "stop",
)


def listed(rootless):
    """Names and states of all containers, as ``ps`` tells them."""
    shown = rootless("ps", "-a", "--format", "json").stdout
    return {each["Names"][0]: each["State"] for each in json.loads(shown or "[]")}


def state_of(rootless, name):
    """Pids of a running container by what they are; empty where there is none yet."""
    shown = rootless("inspect", name, check=False).stdout
    if not shown or shown == "[]\n":
        return {}
    state = json.loads(shown)[0]["State"]
    if not state["Running"]:
        return {}
    found = {"init": state["Pid"], "monitor": state["ConmonPid"]}
    for pid, line in commands().items():
        if "slirp4netns" in line and f" {state['Pid']} " in line:
            found["helper"] = pid
    return found


class Round:
    """One container, one victim, one moment."""

    hits = 0  # of parts: a kill that finds nobody shows nothing

    def __init__(self, rootless, image, number, generator):
        self.rootless = rootless
        self.image = image
        self.generator = generator
        self.victim = VICTIMS[number % len(VICTIMS)]
        self.marker = f"sleep 9{generator.randrange(10**8):08}"
        self.name = "victim"
        self.delay = 0.0

    def __str__(self):
        return f"seed {SEED}, {self.victim} killed after {self.delay:.3f} s"

    def line(self, verb, *flags):
        return (*verb.split(), *flags, "--name", self.name, self.image, *self.marker.split())

    def kill_command(self, *argv, longest=0.4, **options):
        """Start a command, and kill it at some moment of its life."""
        process = self.rootless.start(*argv, **options)
        self.delay = self.generator.uniform(0.005, longest)
        time.sleep(self.delay)
        process.kill()
        process.communicate()

    def kill_part(self):
        self.rootless(*self.line("run", "-d"))
        self.delay = self.generator.uniform(0, 0.15)
        time.sleep(self.delay)
        pid = state_of(self.rootless, self.name).get(self.victim)
        if pid:
            os.kill(pid, signal.SIGKILL)
            Round.hits += 1

    def strike(self):
        match self.victim:
            case "monitor" | "init" | "helper":
                self.kill_part()
            case "run -d" | "run --rm" | "run -i":
                self.kill_command(*self.line(self.victim))
            case "start":
                self.rootless(*self.line("create"))
                self.kill_command("start", self.name)
            case "exec":
                self.rootless(*self.line("run", "-d"))
                self.kill_command("exec", self.name, "sleep", "5")
            case "rm" | "stop":
                self.rootless(*self.line("run", "-d", "--stop-timeout", "0"))
                flags = ("-f",) if self.victim == "rm" else ()
                self.kill_command(self.victim, *flags, self.name, longest=0.3)

    def is_true(self):
        """Whether ``ps`` says what the kernel says."""
        told = listed(self.rootless).get(self.name)
        runs = bool(named(self.marker.removeprefix("sleep ")) and self.programs())
        return (told == "running") == runs and told in (None, "running", "exited", "created")

    def programs(self):
        return [
            pid
            for pid, line in commands().items()
            if line.endswith(self.marker) and "rootless" not in line
        ]

    def check(self):
        # A command that was killed may have a monitor that is just about to start the program.
        wait_until(self.is_true, f"the truth: {self}, {listed(self.rootless)}", timeout_s=15)
        if self.name in listed(self.rootless):
            self.rootless("rm", "-f", self.name, check=False)
        wait_until(lambda: self.name not in listed(self.rootless), f"removal: {self}", timeout_s=15)
        # The name is free again.
        assert self.rootless(*self.line("run", "--rm")[:-2], "echo", "fine").stdout == "fine\n", (
            self
        )
        wait_until(lambda: not self.programs(), f"the end of the program: {self}")
        wait_until(lambda: not using(self.rootless.home), f"the end of helpers: {self}")


def cgroups():
    with open("/proc/self/cgroup", encoding="ascii") as file:
        path = next(line[3:].strip() for line in file if line.startswith("0::"))
    place = f"/sys/fs/cgroup{path}"
    if not os.path.exists(f"{place}/cgroup.procs"):
        return []
    return [each for each in os.listdir(place) if each.startswith("rootless-")]


@pytest.mark.parametrize("rounds", [len(VICTIMS), pytest.param(200, marks=pytest.mark.show)])
def test_ps_stays_true_and_everything_can_be_removed(fresh_rootless, images, rounds):
    rootless = fresh_rootless
    rootless("run", "--rm", images.busybox, "true")
    generator = random.Random(SEED)
    before = cgroups()
    for number in range(rounds):
        one = Round(rootless, images.busybox, number, generator)
        one.strike()
        one.check()
    rootless("ps", "-a")
    for place in ("data/containers", "data/names", "data/scratch", "run/containers"):
        assert os.listdir(f"{rootless.home}/{place}") == [], f"{place}, seed {SEED}"
    wait_until(lambda: cgroups() == before, f"cgroups to go, seed {SEED}: {cgroups()}")
    assert Round.hits >= rounds // 10, "the parts of a container were not found"
    sys.stdout.write(f"{rounds} kills, {Round.hits} of parts, seed {SEED}\n")
