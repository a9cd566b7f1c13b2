"""``--userns``, ``--uidmap`` and ``--gidmap`` as id maps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidRequest
from rootless.userns import modes
from rootless.userns.idmap import IdMap, IdRange, stack, to_outside

# The caller is 1000; two ranges, of 100 and 50 ids.
STORE = stack(1000, ((100_000, 100), (300_000, 50)))
MAP = IdMap(STORE, STORE, "helpers")


def test_keep_id_puts_the_caller_in_its_own_place_and_fills_the_rest_in_order():
    ranges = modes.keep(STORE, 10)
    assert ranges == (
        IdRange(0, 100_000, 10),
        IdRange(10, 1000, 1),
        IdRange(11, 100_010, 90),
        IdRange(101, 300_000, 50),
    )
    assert modes.keep(STORE, 0) == STORE


def test_keep_id_needs_enough_ids():
    assert to_outside(modes.keep(STORE, 150), 150) == 1000
    with pytest.raises(InvalidRequest, match="151 subordinate ids"):
        modes.keep(STORE, 151)
    with pytest.raises(InvalidRequest, match="no room"):
        modes.keep(STORE, 20, 20)
    assert modes.count(modes.keep(STORE, 20, 30)) == 30


def test_nomap_leaves_the_caller_out():
    ranges = modes.without_caller(STORE)
    assert modes.count(ranges) == 150
    assert all(each.outside != 1000 for each in ranges)


def test_auto_gives_each_container_ids_of_its_own():
    first = modes.free_range(STORE, (), 40)
    second = modes.free_range(STORE, (first,), 40)
    third = modes.free_range(STORE, (first, second), 40)
    assert [each[0].outside for each in (first, second, third)] == [100_000, 100_040, 300_000]
    with pytest.raises(InvalidRequest, match="no 40 subordinate ids"):
        modes.free_range(STORE, (first, second, third), 40)
    assert modes.free_range(STORE, (first, third), 40) == second


@given(st.lists(st.integers(1, 60), max_size=8))
def test_auto_never_gives_an_id_twice(sizes):
    taken = []
    for size in sizes:
        try:
            taken.append(modes.free_range(STORE, tuple(taken), size))
        except InvalidRequest:
            continue
    ids = [each.outside + n for (each,) in taken for n in range(each.size)]
    assert len(ids) == len(set(ids))
    assert all(100_000 <= each < 100_100 or 300_000 <= each < 300_050 for each in ids)


@pytest.mark.parametrize(
    ("uids", "expected"),
    [
        (("0:1:10", "10:0:1"), [(0, 100_000, 10), (10, 1000, 1)]),
        (("0:0:1", "1:@300000:5"), [(0, 1000, 1), (1, 300_000, 5)]),
        (("0", "1:2"), [(0, 1000, 1), (1, 100_001, 1)]),
        (("+5:120:3",), None),
    ],
)
def test_custom_maps_in_podmans_words(uids, expected):
    found = modes.custom(uids, (), MAP)
    assert found.gids == found.uids
    if expected is not None:
        assert [tuple(each) for each in found.uids] == expected
        return
    # "+" changes the usual map: 5 to 7 are other ids now, and those are nowhere else.
    assert [to_outside(found.uids, each) for each in (4, 5, 7, 8)] == [
        *(100_003, 300_019, 300_021, 100_007)
    ]
    assert to_outside(found.uids, 120) is None


def test_flags_say_what_a_line_is_for():
    found = modes.custom(("0:0:1", "u1:1:5"), (), MAP)
    assert modes.count(found.uids) == 6
    assert modes.count(found.gids) == 1


@pytest.mark.parametrize(
    "texts", [("x",), ("1:2:3:4",), ("0:0:0",), ("0:0:1", "0:1:1"), ("5:0:1",), ("0:@7:1",), ("0:200:1",)]
)  # fmt: skip
def test_maps_that_make_no_sense_are_refused(texts):
    with pytest.raises(InvalidRequest):
        modes.custom(texts, (), MAP)


@pytest.mark.parametrize("text", ["", "host", "private"])
def test_the_usual_map_has_three_names(text):
    assert modes.parse_mode(text).kind == "host"


@pytest.mark.parametrize(
    "text", ["keep-id:uid", "keep-id:foo=1", "auto:uid=1", "nomap:x", "pod", "ns", "container:"]
)
def test_unknown_modes_and_options_are_refused(text):
    with pytest.raises(InvalidRequest):
        modes.parse_mode(text)
