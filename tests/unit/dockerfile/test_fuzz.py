"""A short run of the fuzzer; the long one is ``python3 -m tests.fuzz.fuzz_dockerfile``."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import fuzz_dockerfile


def test_random_dockerfiles_are_understood_or_refused_with_a_place():
    assert fuzz_dockerfile.run(seconds=60, seed=1, cases=400) == 400


def test_the_fuzzer_notices_a_crash(monkeypatch):
    def crash(*_: object, **__: object) -> None:
        raise IndexError

    monkeypatch.setattr(fuzz_dockerfile, "parse", crash)
    with pytest.raises(IndexError):
        fuzz_dockerfile.run(seconds=10, seed=1, cases=10)


def test_the_fuzzer_makes_files_that_are_understood():
    texts = [fuzz_dockerfile.dockerfile_text(random.Random(seed)) for seed in range(300)]
    understood = [
        fuzz_dockerfile.attempt(lambda text=text: fuzz_dockerfile.parse(text)) for text in texts
    ]
    assert sum(each is not None for each in understood) > 20
