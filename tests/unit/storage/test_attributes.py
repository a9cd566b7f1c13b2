from __future__ import annotations

import pytest

from rootless.owners import Stat, parse_stat, true_stat
from rootless.storage.attributes import Owners
from rootless.userns.idmap import IdMap, IdRange, single


def test_override_stat_is_written_and_read_in_the_peers_form():
    assert str(Stat(1000, 100, 0o4755)) == "1000:100:4755"
    assert str(Stat(0, 0, 0o666, "char-1-3")) == "0:0:0666:char-1-3"
    assert parse_stat(b"1000:100:0755") == Stat(1000, 100, 0o755)
    assert parse_stat(b"1:2:0644:file") == Stat(1, 2, 0o644)
    assert parse_stat(b"1:2:0644:block-8-1") == Stat(1, 2, 0o644, "block-8-1")


@pytest.mark.parametrize("value", [b"", b"1:2", b"-1:0:0644", b"a:b:c", b"1:2:9", b"\xff:1:1"])
def test_malformed_records_are_none(value):
    assert parse_stat(value) is None


@pytest.mark.parametrize("device", [b"char-x-1", b"char-1", b"char-1-2-3", b"fifo-1-2"])
def test_malformed_devices_are_none(device):
    assert parse_stat(b"1:2:0644:" + device) == Stat(1, 2, 0o644)


def test_owners_fit_when_both_ids_are_mapped():
    id_map = IdMap((IdRange(0, 1000, 1), IdRange(1, 100000, 10)), (IdRange(0, 1000, 5),), "helpers")
    owners = Owners(id_map)
    assert owners.fit(10, 4)
    assert not owners.fit(11, 0)
    assert not owners.fit(0, 5)
    assert Owners(single(1000, 1000)).fit(0, 0)
    assert not Owners(single(1000, 1000)).fit(1, 0)


def test_a_record_counts_until_the_file_gets_an_owner_that_exists():
    recorded = Stat(70000, 70000, 0o4755)
    assert true_stat(0, 0, 0o755, recorded) == recorded
    assert true_stat(5, 0, 0o755, recorded) == Stat(5, 0, 0o755)
    assert true_stat(0, 0, 0o700, recorded) == Stat(70000, 70000, 0o700)
    assert true_stat(0, 0, 0o644, None) == Stat(0, 0, 0o644)
