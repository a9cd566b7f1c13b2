"""What tests of ``build`` do again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support import trees

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Rootless
    from tests.support.trees import Built


def build(rootless: Rootless, context: Path, text: str, *options: str, **more: object) -> str:
    """Build ``text`` as "built"; what progress said."""
    (context / "Dockerfile").write_text(text)
    return rootless("build", "-t", "built", *options, str(context), **more).stderr  # type: ignore[arg-type]


def fails(rootless: Rootless, context: Path, text: str, *options: str, exit_code: int = 125) -> str:
    """What a build that must fail says."""
    (context / "Dockerfile").write_text(text)
    return rootless.fails("build", *options, str(context), exit_code=exit_code)


def image(rootless: Rootless, name: str = "docker.io/library/built:latest") -> Built:
    """An image of the store by its name."""
    with open(f"{rootless.home}/data/images/index.json", encoding="utf-8") as file:
        entries = json.load(file)["manifests"]
    named = {
        each.get("annotations", {}).get("org.opencontainers.image.ref.name"): each
        for each in entries
    }
    return member(rootless, named[name])


def member(rootless: Rootless, descriptor: dict[str, str]) -> Built:
    """An image of the store by the descriptor of its manifest."""
    blobs = f"{rootless.home}/data/images/blobs/sha256"
    with open(f"{blobs}/{descriptor['digest'].partition(':')[2]}", encoding="utf-8") as file:
        return trees.read(json.load(file), blobs)


def ran(progress: str) -> list[str]:
    """The instructions that were executed, not found in the cache."""
    names: dict[str, str] = {}
    found = []
    for line in progress.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            names[number] = rest.partition("] ")[2]
        elif rest.startswith("DONE"):
            found.append(names[number])
    return found
