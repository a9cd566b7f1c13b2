from rootless.userns.idmap import (
    IdMap,
    IdRange,
    for_super_user,
    parse_getsubids,
    stack,
    subordinate_ranges,
    to_inside,
    to_outside,
    within,
)


def test_ranges_are_found_by_name_and_by_number_and_malformed_lines_are_skipped():
    text = "alice:100000:65536\n1000:300000:10\nbob:1:1\nalice:x:1\nalice:5\n"
    assert subordinate_ranges(text, "alice", 1000) == ((100000, 65536), (300000, 10))


def test_ranges_stack_above_the_caller():
    ranges = stack(1000, ((100000, 10), (200000, 5)))
    assert ranges == (IdRange(0, 1000, 1), IdRange(1, 100000, 10), IdRange(11, 200000, 5))
    assert to_outside(ranges, 11) == 200000
    assert to_outside(ranges, 16) is None
    assert to_inside(ranges, 100009) == 10


def test_root_without_a_range_gets_one_that_nobody_holds():
    whole = "         0          0 4294967295\n"
    assert for_super_user(whole, "", "root") == stack(0, ((0x6FFF0000, 65536),))
    held = "alice:1878982656:65536\n"
    assert for_super_user(whole, held, "root") == stack(0, ((0x6FFE0000, 65536),))
    assert for_super_user(whole, "root:5000:10\n", "root") == stack(0, ((5000, 10),))


def test_root_of_an_outer_container_takes_the_ids_that_exist_there():
    outer = "0 1000 1\n1 100000 65536\n"
    assert for_super_user(outer, "", "root") == (IdRange(0, 0, 1), IdRange(1, 1, 65536))
    assert for_super_user("0 1000 1\n", "", "root") == ()


def test_ranges_of_a_directory_service_are_read():
    assert parse_getsubids("0: alice 100000 65536\n") == ((100000, 65536),)
    assert parse_getsubids("Error fetching ranges\n") == ()


def test_a_map_inside_another_speaks_of_that_ones_ids():
    usual = stack(1000, ((100000, 10), (200000, 5)))
    parent = IdMap(usual, usual, "helpers")
    # keep-id: the caller is 3 inside, and 0-2 and 4-15 are the subordinate ids.
    kept = (
        IdRange(0, 100000, 3),
        IdRange(3, 1000, 1),
        IdRange(4, 100003, 7),
        IdRange(11, 200000, 5),
    )
    nested = within(IdMap(kept, kept, "helpers"), parent)
    assert nested is not None
    assert nested.writer == "parent"
    assert nested.uids == (IdRange(0, 1, 3), IdRange(3, 0, 1), IdRange(4, 4, 7), IdRange(11, 11, 5))


def test_a_range_may_span_two_of_the_outer_map_and_must_lie_in_it():
    parent = IdMap((IdRange(0, 10, 2), IdRange(2, 12, 8)), (IdRange(0, 10, 10),), "direct")
    nested = within(IdMap((IdRange(0, 11, 3),), (IdRange(0, 11, 3),), "helpers"), parent)
    assert nested is not None
    assert nested.uids == (IdRange(0, 1, 1), IdRange(1, 2, 2))
    assert nested.gids == (IdRange(0, 1, 3),)
    assert within(IdMap((IdRange(0, 9, 1),), (IdRange(0, 10, 1),), "helpers"), parent) is None
