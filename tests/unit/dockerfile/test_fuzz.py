"""A short run of the fuzzer; the long one is ``python3 -m tests.fuzz.fuzz_dockerfile``."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import fuzz_dockerfile, harness


def fuzz(*, seconds, cases):
    limit = fuzz_dockerfile.SECONDS_PER_CASE
    return harness.run(fuzz_dockerfile.check, seconds=seconds, seed=1, cases=cases, each_s=limit)


def test_random_dockerfiles_are_understood_or_refused_with_a_place():
    assert fuzz(seconds=60, cases=400) == 400


def test_the_fuzzer_notices_a_crash(monkeypatch):
    def crash(*_: object, **__: object) -> None:
        raise IndexError

    monkeypatch.setattr(fuzz_dockerfile, "parse", crash)
    with pytest.raises(IndexError):
        fuzz(seconds=10, cases=10)


def test_the_fuzzer_makes_files_that_are_understood():
    texts = [fuzz_dockerfile.dockerfile_text(random.Random(seed)) for seed in range(300)]
    understood = [
        fuzz_dockerfile.attempt(lambda text=text: fuzz_dockerfile.parse(text)) for text in texts
    ]
    assert sum(each is not None for each in understood) > 20
