"""docs/how-it-works.md: what it says can be typed still works, and still answers like that."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.cli import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Rootless
    from tests.support.images import Images

MARK = "-- end of command"
# What it answers depends on whether the controller is delegated.
HOST_DEPENDENT = ("--memory", "/proc/mounts")


class Step(NamedTuple):
    """A command of the page and the lines that are shown below it."""

    command: str
    shown: list[str]


def steps() -> list[Step]:
    with open(f"{CHECKOUT}/docs/how-it-works.md", encoding="utf-8") as file:
        page = file.read()
    found: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            else:
                found[-1].shown.append(line)
    return found


def plain(line: str) -> str:
    """Without what differs from run to run: ids, numbers, times, the padding of columns."""
    line = re.sub(r"\b[0-9a-f]{12,}\b", "ID", line)
    line = re.sub(r"\b[A-Z][a-z]{2} [ \d]\d [ \d:]{5}", "DATE", line)
    return re.sub(r"\s+", " ", re.sub(r"\d+", "N", line)).strip()


def fits(shown: list[str], said: list[str]) -> bool:
    """Whether the output has these lines, with anything where "..." stands."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(plain(line)) + r"\n" for line in shown
    )
    return re.fullmatch(pattern, "".join(f"{plain(line)}\n" for line in said)) is not None


@pytest.fixture
def session(
    fresh_rootless: Rootless, images: Images, tmp_path: Path, needs_subids: None
) -> list[list[str]]:
    """What each command of the page printed, in one shell."""
    fresh_rootless("pull", "-q", "alpine")
    command = " ".join(fresh_rootless.command)
    script = [f'rootless() {{ {command} "$@"; }}', "exec 2>&1"]
    script += [line for step in steps() for line in (step.command, f"echo; echo '{MARK}'")]
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            env=fresh_rootless.environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        fresh_rootless("rm", "-f", "-t", "0", "lesson", check=False)
    outputs = done.stdout.split(f"\n{MARK}\n")[:-1]
    return [each.splitlines() for each in outputs]


def test_the_page_tells_the_truth(session: list[list[str]]):
    assert len(session) == len(steps()) > 25
    for step, said in zip(steps(), session, strict=True):
        if any(word in step.command for word in HOST_DEPENDENT):
            assert said, step.command
            continue
        assert fits(step.shown, said), f"{step.command}\n" + "\n".join(said)
