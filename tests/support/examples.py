"""The examples of the documentation, run as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.cli import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Rootless


def show(name: str, image: str, rootless: Rootless, directory: Path, **environment: str) -> None:
    """Run an example's ``show`` to its good end; it leaves nothing in its temporary ``directory``."""
    shown = subprocess.run(
        [f"{CHECKOUT}/docs/examples/{name}/show", image],
        env={
            **rootless.environment,
            "ROOTLESS": " ".join(rootless.command),
            "TMPDIR": str(directory),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    sys.stdout.write(shown.stdout)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.endswith("== all is well\n")
    assert os.listdir(directory) == []
