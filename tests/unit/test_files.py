"""What is read of files that may not be there."""

from __future__ import annotations

import os

from rootless import files


def test_text_that_is_missing_or_not_to_be_read_is_empty(tmp_path):
    assert files.text_or_empty(f"{tmp_path}/nothing") == ""
    assert files.text_or_empty(str(tmp_path)) == ""


def test_text_is_read_whatever_bytes_are_in_it(tmp_path):
    (tmp_path / "text").write_bytes(b"a\xff\n")
    assert files.text_or_empty(f"{tmp_path}/text") == "a\ufffd\n"


def test_names_are_sorted_and_none_where_there_is_no_directory(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert files.names_in(str(tmp_path)) == ["a", "b"]
    assert files.names_in(f"{tmp_path}/nothing") == []
    assert files.names_in(f"{tmp_path}/a") == []


def test_what_is_gone_can_be_discarded(tmp_path):
    (tmp_path / "file").touch()
    files.discard(f"{tmp_path}/file")
    files.discard(f"{tmp_path}/file")
    assert not os.listdir(tmp_path)
