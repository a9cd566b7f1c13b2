"""The stages of the test command, run as an ordinary user: lint, types, tests.

    python stages.py [--other PYTHON ...] [-- PYTEST ARGUMENTS]

Caches go to the user's cache folder, because the checkout may belong to somebody else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
FAST = ("tests/unit", "tests/startup")
# The order in which they are run; tests/vm has its own machine and tests/as_root its own user.
SUITES = ("unit", "startup", "integration", "security", "conformance")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", action="append", default=[], help="another CPython to try")
    parser.add_argument("--machine", action="store_true", help="also boot the throw-away machine")
    parser.add_argument("pytest", nargs="*")
    options = parser.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rootless-tests"
    os.environ.update(
        PYTHONPYCACHEPREFIX=str(cache / "pycache"),
        RUFF_CACHE_DIR=str(cache / "ruff"),
        MYPY_CACHE_DIR=str(cache / "mypy"),
        HYPOTHESIS_STORAGE_DIRECTORY=str(cache / "hypothesis"),
        PYTHONPATH=str(CHECKOUT),
    )
    os.environ.setdefault("LANG", "C.UTF-8")
    os.chdir(CHECKOUT)
    # Short: names in a tar end at 100 bytes, those of sockets at 108.
    pytest = ["-m", "pytest", "-o", f"cache_dir={cache / 'pytest'}"]
    pytest.append(f"--basetemp={os.environ['TMPDIR']}/t")
    stages = [] if options.pytest else quick_stages(pytest, options.other)
    if options.machine and not options.pytest:
        stages.append(("throw-away machine", ["scripts/vm", "test"]))
    stages.append(("tests", [sys.executable, *pytest, *(options.pytest or everything())]))
    failed = [name for name, command in stages if not run(name, command)]
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    sys.exit(bool(failed))


def quick_stages(pytest: list[str], others: list[str]) -> list[tuple[str, list[str]]]:
    """Lint, types, and the fast tests under every other interpreter."""
    python = sys.executable
    return [
        ("format", [python, "-m", "ruff", "format", "--check", "--quiet", "."]),
        ("lint", [python, "-m", "ruff", "check", "--quiet", "."]),
        ("types", [python, "-m", "mypy"]),
        *((f"fast tests, {other}", [other, *pytest, *FAST]) for other in others),
    ]


def everything() -> list[str]:
    """All suites on both cores; the tests of one file never run at the same time."""
    present = [f"tests/{name}" for name in SUITES if Path("tests", name).is_dir()]
    workers = min(os.cpu_count() or 1, 4)
    report = ["-rsfE", "--durations=15"]
    return ["-n", str(workers), "--dist", "loadfile", *report, *present]


def run(name: str, command: list[str]) -> bool:
    print(f"== {name}", flush=True)
    begin = time.monotonic()
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    print(f"   {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return status == 0


if __name__ == "__main__":
    main()
