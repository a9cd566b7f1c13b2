from rootless.userns.idmap import IdRange, stack, subordinate_ranges, to_inside, to_outside


def test_ranges_are_found_by_name_and_by_number_and_malformed_lines_are_skipped():
    text = "alice:100000:65536\n1000:300000:10\nbob:1:1\nalice:x:1\nalice:5\n"
    assert subordinate_ranges(text, "alice", 1000) == ((100000, 65536), (300000, 10))


def test_ranges_stack_above_the_caller():
    ranges = stack(1000, ((100000, 10), (200000, 5)))
    assert ranges == (IdRange(0, 1000, 1), IdRange(1, 100000, 10), IdRange(11, 200000, 5))
    assert to_outside(ranges, 11) == 200000
    assert to_outside(ranges, 16) is None
    assert to_inside(ranges, 100009) == 10
