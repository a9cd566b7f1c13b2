"""What all lists understand alike of ``--filter``."""

from __future__ import annotations

import pytest

from rootless.engine.filters import grouped, has, means_image, split, truth
from rootless.errors import InvalidRequest


def test_a_filter_has_a_key_and_says_what_must_not_be():
    assert split("label=a=b") == ("label", "=", "a=b")
    assert split("label!=a") == ("label", "!=", "a")
    with pytest.raises(InvalidRequest, match="is not a filter"):
        split("label")


def test_filters_of_one_key_are_a_group_but_for_labels():
    texts = ("status=exited", "label=a", "status=running", "label=b")
    assert grouped(texts, ("status", "label")) == [
        [("status", "exited"), ("status", "running")],
        [("label", "a")],
        [("label", "b")],
    ]


@pytest.mark.parametrize("text", ["colour=red", "status"])
def test_an_unknown_filter_is_refused_with_those_there_are(text):
    with pytest.raises(InvalidRequest, match="unknown filter") as refusal:
        grouped((text,), ("status", "label"))
    assert refusal.value.hint == "one of status= label="


def test_true_and_false_have_few_words():
    assert [truth(each) for each in ("true", "1", "T", "False", "0")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(InvalidRequest, match="neither true nor false"):
        truth("yes")


def test_a_label_is_there_or_has_that_value():
    assert has({"a": "b"}, "a")
    assert has({"a": "b=c"}, "a=b=c")
    assert not has({"a": "b"}, "a=")
    assert not has({}, "a")


@pytest.mark.parametrize("value", ["docker.io/library/busybox:1", "busybox:1", "busybox"])
def test_an_image_is_meant_by_its_short_names(value):
    assert means_image(value, "docker.io/library/busybox:1")
    assert not means_image("box", "docker.io/library/busybox:1")
