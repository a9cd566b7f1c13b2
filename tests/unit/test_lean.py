"""The words of rootless.lean do what their namesakes do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.lean import cached_property, contextmanager, dumps, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(VALUES, st.booleans(), st.booleans())
def test_json_is_what_json_says(value, ascii_only, ordered):
    text = dumps(value, ensure_ascii=ascii_only, sort_keys=ordered)
    same = json.dumps(value, ensure_ascii=ascii_only, sort_keys=ordered, separators=(",", ":"))
    assert text == same
    assert loads(f" {text}\n") == value
    assert loads(text.encode("utf-8", "surrogatepass")) == value if ascii_only else True


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "nul", "1 2", '"\n"', b"\xff", "NaN", "[Infinity]", "{'a': 1}", "//"]
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):
        loads(text)


def test_json_may_begin_with_a_byte_order_mark():
    assert loads(b"\xef\xbb\xbf[1]") == [1]


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError):
        dumps({"a": object()})


def test_a_block_runs_around_its_body():
    said = []

    @contextmanager
    def block(name):
        """What it is."""
        said.append("in")
        try:
            yield name
        finally:
            said.append("out")

    with block("x") as name:
        said.append(name)
    with pytest.raises(KeyError), block("y"):
        raise KeyError
    assert said == ["in", "x", "out", "in", "out"]
    assert block.__doc__ == "What it is."


def test_a_block_may_swallow_and_change_errors():
    @contextmanager
    def block():
        try:
            yield
        except KeyError:
            pass
        except OSError as error:
            raise ValueError("changed") from error

    with block():
        raise KeyError
    with pytest.raises(ValueError, match="changed"), block():
        raise OSError
    with pytest.raises(StopIteration), block():
        raise StopIteration


def test_a_property_is_computed_once():
    class Thing:
        calls = 0

        @cached_property
        def value(self) -> int:
            self.calls += 1
            return self.calls

    thing = Thing()
    assert (thing.value, thing.value, thing.calls) == (1, 1, 1)
