"""kill -9 of whatever belongs to a container, at any moment: what is said stays true, all can be removed.

Moments are random; the seed is printed with a failure.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter

import pytest

from tests.support.processes import commands, named, using
from tests.support.waiting import wait_until

SEED = int(os.environ.get("ROOTLESS_TEST_SEED", time.time_ns() % 1_000_000))
PARTS = ("monitor", "init", "helper")
COMMANDS = ("run -d", "run --rm", "run -i", "start", "exec", "rm", "stop")
HELPERS = ("pasta", "passt", "slirp4netns")
# What a monitor has beside the container's first process.
SERVANTS = ("rootless:[owner]", "rootless:[fuse]", "rootless:[watchdog]", "rootless:[scope]")


def listed(rootless):
    """Names and states of all containers, as ``ps`` tells them."""
    shown = rootless("ps", "-a", "--format", "json").stdout
    return {each["Names"][0]: each["State"] for each in json.loads(shown or "[]")}


def parts_of(home):
    """Pids of what there is of a detached container in that store, by what it is, from its first moment on."""
    found = {}
    for line in using(home):
        pid = int(line.partition(":")[0])
        if read(pid, "comm") != "rootless:[mon]\n":
            continue
        found["monitor"] = pid
        for child in map(int, read(pid, f"task/{pid}/children").split()):
            name = read(child, "comm").strip()
            if name.startswith(HELPERS):
                found["helper"] = child
            elif name not in SERVANTS and is_inside(child):
                found["init"] = child
    return found


def is_inside(pid):
    """Whether it is in a pid namespace below ours."""
    found = re.search(r"^NSpid:(.*)$", read(pid, "status"), re.MULTILINE)
    return found is not None and len(found[1].split()) > 1


def read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class Round:
    """One container, one victim, one moment."""

    def __init__(self, rootless, image, number, generator):
        self.rootless = rootless
        self.image = image
        self.generator = generator
        kinds = (*PARTS, generator.choice(COMMANDS))
        self.victim = kinds[number % len(kinds)]
        self.marker = f"sleep 9{generator.randrange(10**8):08}"
        self.name = "victim"
        self.delay = 0.0

    def __str__(self):
        return f"seed {SEED}, {self.victim} killed after {self.delay:.3f} s"

    def line(self, verb, *flags):
        return (*verb.split(), *flags, "--name", self.name, self.image, *self.marker.split())

    def strike(self, longest):
        """Kill at some moment; whether the victim lived then."""
        self.delay = self.generator.uniform(0.005, longest)
        if self.victim in PARTS:
            return self.kill_part()
        match self.victim:
            case "start":
                self.rootless(*self.line("create"))
                return self.kill_command("start", self.name)
            case "exec":
                self.rootless(*self.line("run", "-d"))
                return self.kill_command("exec", self.name, "sleep", "5")
            case "rm" | "stop":
                self.rootless(*self.line("run", "-d", "--stop-timeout", "0"))
                flags = ("-f",) if self.victim == "rm" else ()
                return self.kill_command(self.victim, *flags, self.name)
        return self.kill_command(*self.line(self.victim))

    def kill_command(self, *argv):
        process = self.rootless.start(*argv)
        time.sleep(self.delay)
        lived = process.poll() is None
        process.kill()
        process.communicate()
        return lived

    def kill_part(self):
        """It may be while the container is only being made."""
        process = self.rootless.start(*self.line("run", "-d"))
        time.sleep(self.delay)
        pid = wait_until(lambda: parts_of(self.rootless.home).get(self.victim), f"{self}: a victim")
        os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
        return True

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


@pytest.mark.parametrize("rounds", [12, pytest.param(200, marks=pytest.mark.show)])
def test_ps_stays_true_and_everything_can_be_removed(fresh_rootless, images, rounds):
    rootless = fresh_rootless
    begin = time.monotonic()
    rootless("run", "--rm", images.busybox, "true")
    usual = min(1.0, time.monotonic() - begin)
    generator = random.Random(SEED)
    before = cgroups()
    hits = Counter()
    for number in range(rounds):
        one, longest = Round(rootless, images.busybox, number, generator), usual
        while not one.strike(longest):  # a kill that finds nobody shows nothing
            one.check()
            longest *= 0.7
        one.check()
        hits[one.victim] += 1
    rootless("ps", "-a")
    for place in ("data/containers", "data/names", "data/scratch", "run/containers"):
        assert os.listdir(f"{rootless.home}/{place}") == [], f"{place}, seed {SEED}"
    wait_until(lambda: set(cgroups()) <= set(before), f"cgroups to go, seed {SEED}: {cgroups()}")
    sys.stdout.write(f"{rounds} kills, seed {SEED}: {dict(hits)}\n")
