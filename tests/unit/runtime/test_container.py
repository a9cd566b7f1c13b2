"""The names and ids of containers."""

from __future__ import annotations

from rootless import files
from rootless.runtime import container


def test_a_short_id_is_never_a_number(monkeypatch):
    names = iter(("336359355539" + "a" * 52, "0123456789ab" + "c" * 52))
    monkeypatch.setattr(files, "random_name", lambda size_bytes=8: next(names))
    assert container.new_id() == "0123456789ab" + "c" * 52
