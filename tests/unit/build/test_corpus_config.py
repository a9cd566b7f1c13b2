"""The plan of every Dockerfile of the corpus ends with the configuration that the case asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rootless.build.plan import plan_build
from rootless.build.stages import Choices
from rootless.dockerfile.parser import parse
from tests.support import corpus
from tests.support.images import SHELL_CONFIG

if TYPE_CHECKING:
    from rootless.build.steps import Tree
    from rootless.image.documents import ImageConfig


class EveryImage(dict):
    """All images are known and alike."""

    def __contains__(self, tree: object) -> bool:
        return True

    def __missing__(self, tree: Tree) -> ImageConfig:
        return {"architecture": "amd64", "os": "linux", "config": SHELL_CONFIG}

    def get(self, tree: Tree, default: object = None) -> ImageConfig:
        return self[tree]


def choices(case: corpus.Case) -> Choices:
    pairs = list(zip(case.options[::2], case.options[1::2], strict=True))
    build_args = dict(value.split("=", 1) for name, value in pairs if name == "--build-arg")
    target = "".join(value for name, value in pairs if name == "--target")
    return Choices(build_args=build_args, target=target)


@pytest.mark.parametrize("case", corpus.cases(), ids=lambda case: case.name)
def test_the_configuration_is_what_the_case_asks_for(case):
    dockerfile = parse(case.text, name=case.file)
    config = plan_build(dockerfile, choices(case), EveryImage()).target.config
    assert {key: config.get(key) or None for key in case.config} == {
        key: value or None for key, value in case.config.items()
    }
