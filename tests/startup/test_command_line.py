"""What the command line itself costs: modules that a line loads before the engine is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = {"typer", "click", "rich", "pyroute2", "asyncio", "http", "ssl", "urllib3", "logging", "dataclasses", "inspect", "json", "platformdirs"}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``code`` and not after nothing."""
    script = (
        "import sys; before = set(sys.modules)\n"
        + code
        + "\nprint(*(set(sys.modules) - before), sep='\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "line",
    [
        ["run", "--rm", "-it", "-e", "A=1", "-v", "/a:/b:ro", "--memory", "1g", "image", "sh"],
        ["exec", "-it", "container", "sh"],
        ["start", "container"],
    ],
)
def test_a_plain_line_is_read_without_slow_modules(line):
    modules = loaded_by(
        f"from rootless.cli.options import execution, run\n"
        f"from rootless.cli.argv import read\n"
        f"import rootless.engine.requests\n"
        f"assert read({'run' if line[0] == 'run' else 'execution'}.{line[0].upper()}, {line[1:]!r}) is not None"
    )
    assert not SLOW & {module.partition(".")[0] for module in modules}


def test_the_overview_is_shown_without_typer():
    modules = loaded_by("import rootless.cli; rootless.cli.main(['--help'])")
    assert not SLOW - {"inspect"} & modules
