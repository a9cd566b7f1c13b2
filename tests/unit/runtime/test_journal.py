"""The journal: bounded, whole lines only, followed across a rotation."""

from __future__ import annotations

import os

import pytest

from rootless.paths import Paths
from rootless.runtime import journal


@pytest.fixture
def paths(tmp_path):
    return Paths(*(f"{tmp_path}/{name}" for name in ("data", "cache", "run", "config")))


def _ids(entries):
    return [entry["id"] for entry in entries]


def test_what_is_noted_is_read_in_order_and_followed(paths):
    journal.note(paths, "image", "pull", id="a", name="x", attributes={"size": 3})
    entries, position = journal.read(paths)
    [entry] = entries
    assert (entry["type"], entry["action"], entry["name"]) == ("image", "pull", "x")
    assert entry["attributes"] == {"size": "3"}
    assert position.newer() == []
    journal.note(paths, "volume", "create", id="b")
    assert _ids(position.newer()) == ["b"]


def test_nothing_is_there_before_the_first_event(paths):
    entries, position = journal.read(paths)
    assert entries == []
    journal.note(paths, "volume", "create", id="b")
    assert _ids(position.newer()) == ["b"]


def test_it_stays_bounded_and_a_follower_loses_nothing(paths, monkeypatch):
    monkeypatch.setattr(journal, "MAX_BYTES", 2000)
    followed = []
    _, position = journal.read(paths)
    for number in range(100):
        journal.note(paths, "volume", "create", id=str(number))
        followed += _ids(position.newer())
    assert followed == [str(number) for number in range(100)]
    kept, _ = journal.read(paths)
    assert _ids(kept) == followed[-len(kept) :]
    directory = os.path.dirname(paths.journal)
    assert sorted(os.listdir(directory)) == ["journal", "journal.1", "journal.lock"]
    assert sum(os.stat(f"{directory}/{each}").st_size for each in os.listdir(directory)) < 5000


def test_damage_is_passed_over(paths):
    journal.note(paths, "volume", "create", id="a")
    with open(paths.journal, "ab") as file:
        file.write(b"half a li\n[]\n{}\n\xff\xfe\n" + b"[" * 5000 + b"\n")
    journal.note(paths, "volume", "create", id="b")
    with open(paths.journal, "ab") as file:
        file.write(b'{"time": 1')
    entries, position = journal.read(paths)
    assert _ids(entries) == ["a", "b"]
    assert position.newer() == []


def test_labels_without_end_do_not_make_a_line_without_end(paths):
    journal.note(paths, "container", "create", id="a", attributes={"label": "x" * 100_000})
    assert os.stat(paths.journal).st_size < 1000
    assert _ids(journal.read(paths)[0]) == ["a"]


def test_a_journal_that_cannot_be_written_keeps_nobody_from_work(paths):
    os.makedirs(paths.journal)  # a directory in its place
    journal.note(paths, "volume", "create", id="a")
