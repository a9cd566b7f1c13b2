"""Short runs of the fuzzers (docs/hacking.md), and what they have found."""

from __future__ import annotations

import json

import pytest

from rootless.errors import ImageRefused, InvalidRequest
from rootless.image.documents import parse_config
from rootless.image.reference import parse_reference
from rootless.runtime.seccomp import compile_filter
from tests.fuzz import fuzz_texts, harness


def test_texts_of_strangers_are_understood_or_refused():
    assert harness.run(fuzz_texts.check, seconds=60, seed=1, cases=1500) == 1500


@pytest.mark.parametrize("check", fuzz_texts.CHECKS)
def test_each_fuzzer_also_makes_what_is_understood(check, monkeypatch):
    """One that only ever makes garbage finds nothing."""
    understood = []

    def counted(action):
        answer = harness.refused(action)
        understood.append(answer is not None)
        return answer

    monkeypatch.setattr(fuzz_texts, "refused", counted)
    harness.run(check, seconds=30, seed=1, cases=150)
    if check is not fuzz_texts.check_challenges:  # whose reader takes anything
        assert 0.1 < sum(understood) / len(understood) < 1


def test_a_crash_is_a_failure():
    def crash(_):
        harness.refused(lambda: {}[1])

    with pytest.raises(KeyError):
        harness.run(crash, seconds=5, seed=1, cases=1)


@pytest.mark.parametrize("name", ["alp\0ine", "a/\0", "registry.example.org/a\0:x"])
def test_found_a_zero_byte_is_no_part_of_a_name(name):
    with pytest.raises(InvalidRequest):
        parse_reference(name)


@pytest.mark.parametrize("key", ["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"])
@pytest.mark.parametrize("value", [1, True, 1.5, "text", {"a": "b"}])
def test_found_a_config_whose_lists_are_none(key, value):
    document = {**fuzz_texts.CONFIG, "config": {key: value}}
    with pytest.raises(ImageRefused):
        parse_config(json.dumps(document).encode())


@pytest.mark.parametrize("arch_map", [[[]], [None], "x", {"a": 1}, 7])
def test_found_a_profile_whose_architectures_are_no_objects(arch_map):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "archMap": arch_map}
    with pytest.raises(InvalidRequest):
        compile_filter(
            profile,
            architecture="x86_64",
            capabilities=(),
            kernel=(6, 1),
            numbers=fuzz_texts.NUMBERS,
        )
