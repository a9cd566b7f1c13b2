"""What run, exec and ps load and cost: nothing that they do not need (docs/architecture.md)."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from tests.support.cli import Rootless, remove_as_owner

pytestmark = pytest.mark.usefixtures("needs_user_namespace")

# Each costs a start half a millisecond or more; what they are for comes from rootless.lean and rootless.typed.
SLOW = {
    *("typer", "click", "rich", "pyroute2", "asyncio", "http", "ssl", "urllib3", "logging"),
    *("dataclasses", "inspect", "subprocess", "shutil", "tempfile", "pathlib", "threading"),
    *("typing", "enum", "re", "json", "collections", "functools", "contextlib", "signal", "ctypes"),
}
# More than any of these needs today; a start reads about 75 of our modules, and each is 0.15 ms.
MOST_MODULES = {"run": 90, "exec": 58, "ps": 45}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    runner = Rootless(str(tmp_path_factory.mktemp("hot")), {})
    runner("image", "bootstrap", "-t", "base")
    runner("run", "-d", "--name", "kept", "--network", "none", "base", "sleep", "600")
    yield runner
    runner("rm", "-f", "kept")
    remove_as_owner(runner.home)


def lines(store, name):
    return {
        "run": ("run", "--rm", "--network", "none", "base", "true"),
        "exec": ("exec", "kept", "true"),
        "ps": ("ps", "-a"),
    }[name]


def program(store, *flags):
    """The command as the console script calls it: without runpy, and without the environment's site."""
    main = "from rootless.cli import main; import sys; sys.exit(main())"
    return [sys.executable, "-S", *flags, "-c", main]


def environment(store):
    path = os.pathsep.join(each for each in sys.path if each)
    return {**store.environment, "PYTHONPATH": path}


@pytest.mark.parametrize("name", ["run", "exec", "ps"])
def test_nothing_slow_is_loaded(store, name):
    store(*lines(store, name))  # what is probed and compiled once is remembered now
    done = subprocess.run(
        [*program(store, "-X", "importtime"), *lines(store, name)],
        env=environment(store),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    loaded = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert not SLOW & loaded
    ours = {module for module in loaded if module.startswith("rootless")}
    assert len(ours) <= MOST_MODULES[name], sorted(ours)


@pytest.mark.parametrize(("name", "times"), [("run", 16), ("exec", 14), ("ps", 7)])
def test_a_start_costs_a_few_times_an_interpreter(store, name, times):
    """Processor time, the least of several: it depends little on who else uses the machine."""
    ours = least_cpu_s([*program(store), *lines(store, name)], environment(store))
    bare = least_cpu_s([sys.executable, "-S", "-c", "pass"], environment(store))
    assert ours <= times * max(bare, 0.004), f"{ours * 1000:.0f} ms against {bare * 1000:.0f} ms"


def least_cpu_s(command, env):
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=env, check=True, capture_output=True, cwd="/")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return min(once() for _ in range(7))
