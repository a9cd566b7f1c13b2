from __future__ import annotations

import os

import pytest

from rootless.kernel import openat2


@pytest.fixture(params=["openat2", "steps"])
def opened(request, tmp_path, monkeypatch):
    """Open below a root that holds links of every kind, by the system call and without it."""
    if request.param == "steps":

        def missing(*_: object, **__: object) -> int:
            raise OSError(38, "not implemented")

        monkeypatch.setattr(openat2, "openat2", missing)
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (root / "secret").write_text("decoy")
    for name, target in {
        "absolute": "/a/b",
        "up": "../../../../a",
        "chain": "absolute/file",
        "loop": "loop",
        "nowhere": "missing/x",
        "out": "../secret",
        "a/back": "../a/b/../b",
    }.items():
        (root / name).symlink_to(target)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def read(path: str, flags: int = os.O_RDONLY) -> str:
        file = openat2.open_in_root(fd, path.encode(), flags=flags)
        try:
            return os.read(file, 100).decode()
        finally:
            os.close(file)

    yield read
    os.close(fd)


@pytest.mark.parametrize(
    "path",
    [
        "a/b/file",
        "/a/b/file",
        "absolute/file",
        "up/b/file",
        "chain",
        "a/back/file",
        "./a//b/./file",
    ],
)
def test_links_are_followed_inside_the_root(opened, path):
    assert opened(path) == "inside"


@pytest.mark.parametrize("path", ["out", "../secret", "../../../secret", "a/../../secret"])
def test_nothing_leads_out_of_the_root(opened, path):
    assert opened(path) == "decoy"


@pytest.mark.parametrize("path", ["loop", "nowhere", "missing", "a/b/file/x", "loop/x"])
def test_what_cannot_be_opened_is_an_error(opened, path):
    with pytest.raises(OSError, match=r"[Nn]o such|[Ll]oop|symbolic|[Nn]ot a dir"):
        opened(path)


def test_a_last_link_is_not_followed_when_the_flags_say_so(opened):
    with pytest.raises(OSError, match="symbolic"):
        opened("chain", os.O_RDONLY | os.O_NOFOLLOW)


def test_the_root_itself(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for path in (b"", b".", b"/", b"..", b"/../.."):
        again = openat2.open_in_root(fd, path, flags=os.O_RDONLY)
        assert os.fstat(again).st_ino == tmp_path.stat().st_ino
        os.close(again)
    os.close(fd)
