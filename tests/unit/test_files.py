"""What is read of files that may not be there."""

from __future__ import annotations

import os

import pytest

from rootless import files
from rootless.errors import Conflict, InvalidRequest


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


def test_a_whole_file_takes_its_place_at_the_end_or_not_at_all(tmp_path):
    path = f"{tmp_path}/archive"
    with pytest.raises(ZeroDivisionError), files.whole_file(path) as fd:
        os.write(fd, b"half")
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)
    with files.whole_file(path, mode=0o600) as fd:
        os.write(fd, b"whole")
        assert not os.path.exists(path)
    assert os.listdir(tmp_path) == ["archive"]
    assert files.read_bytes(path) == b"whole"
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_fifo_is_written_to_as_it_is(tmp_path):
    path = f"{tmp_path}/fifo"
    os.mkfifo(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with files.whole_file(path) as fd:
            os.write(fd, b"through")
        assert reader.read() == b"through"
    assert os.listdir(tmp_path) == ["fifo"]


def test_a_directory_is_no_place_for_a_file(tmp_path):
    with pytest.raises(Conflict, match="is a directory"), files.whole_file(str(tmp_path)):
        pass
    with (
        pytest.raises(InvalidRequest, match="cannot write"),
        files.whole_file(f"{tmp_path}/nowhere/file"),
    ):
        pass
