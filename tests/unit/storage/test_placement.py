"""New trees do not have to search among the inodes of those that were removed."""

from __future__ import annotations

import fcntl
import os

import pytest

from rootless.kernel import placement


def flags_of(path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return int.from_bytes(fcntl.ioctl(fd, placement._FS_IOC_GETFLAGS, bytes(8))[:4], "little")
    except OSError as error:
        pytest.skip(f"this file system has no such flags: {error}")
    finally:
        os.close(fd)


def test_a_directory_is_marked_and_keeps_its_other_flags(tmp_path):
    before = flags_of(tmp_path)
    placement.spread_below(str(tmp_path))
    assert flags_of(tmp_path) in (before | placement._FS_TOPDIR_FL, before)  # not ext4: as it was
    placement.spread_below(str(tmp_path))
    placement.spread_below(str(tmp_path / "missing"))
