"""docs/commands.md says what the option table says; the man pages are roff that man reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def reference(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference", *argv],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_reference_is_what_the_table_says():
    assert reference("--check").returncode == 0, "run scripts/reference"


def test_man_pages(tmp_path):
    assert reference("--man", str(tmp_path)).returncode == 0
    page = tmp_path / "rootless-run.1"
    assert "\\fB\\-\\-rm\\fR" in page.read_text(encoding="utf-8")
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff")
    result = subprocess.run(
        [groff, "-man", "-ww", "-z", *tmp_path.glob("*.1")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
