"""Row 14: layer archives that try to leave their root, or to be too much."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import fuzz_tar, harness
from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cli import Rootless

CONTENT = b"evil\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the caller's that no archive may change; its path is known to the attacker."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "precious").write_text("precious\n")
    return directory


def unchanged(directory: Path) -> bool:
    return (
        sorted(os.listdir(directory)) == ["precious"]
        and (directory / "precious").read_text() == "precious\n"
        and (directory / "precious").stat().st_nlink == 1
    )


def contained(rootless: Rootless, image: str, outside: Path) -> bool:
    """Pull: refused, or unpacked inside; in both cases the host is as it was.  True when refused."""
    before = set(os.listdir("/tmp")), set(os.listdir(rootless.home))
    result = rootless("pull", "-q", image, check=False)
    assert result.exit_code in (0, 125), str(result)
    assert "Traceback" not in result.stderr
    assert unchanged(outside)
    for directory, _, names in os.walk(rootless.home):
        inner = "/diff/" in f"{directory}/"
        assert inner or not {"evil", "evil-abs"} & set(names), f"{directory} {names}"
    assert {each for each in os.listdir("/tmp") if "evil" in each} <= before[0]
    assert set(os.listdir(rootless.home)) <= before[1] | {"cache", "config", "data", "run"}
    if result.exit_code:
        assert rootless("image", "exists", image, check=False).exit_code == 1
        scratch = f"{rootless.home}/data/scratch"
        assert not os.path.isdir(scratch) or os.listdir(scratch) == []
    else:
        ran = rootless("run", "--rm", "--network=none", image, "true", check=False)
        assert ran.exit_code in (0, 125, 126, 127), str(ran)
        assert unchanged(outside)
    return bool(result.exit_code)


def links_out(outside: Path) -> dict[str, tuple[oci.Entry, ...]]:
    up = "../" * 24
    return {
        "absolute": (oci.Entry("/tmp/evil-abs", CONTENT), oci.Entry(f"{outside}/evil", CONTENT)),
        "dotdot": (
            oci.Entry(f"{up}tmp/evil-abs", CONTENT),
            oci.Entry(f"a/{up}{outside}/evil", CONTENT),
        ),
        "symlink then file": (oci.symlink("x", str(outside)), oci.Entry("x/evil", CONTENT)),
        "relative symlink": (oci.symlink("x", f"{up}{outside}"), oci.Entry("x/evil", CONTENT)),
        "symlink then directory": (oci.symlink("x", str(outside)), oci.directory("x/evil")),
        "symlink to link": (
            oci.symlink("a", "."),
            oci.symlink("b", f"a/{up}"),
            oci.Entry(f"b/{outside}/evil", CONTENT),
        ),
        "symlink over directory": (
            oci.directory("d"),
            oci.symlink("d", str(outside)),
            oci.Entry("d/evil", CONTENT),
            oci.directory("d", 0o777),
        ),
        "file over symlink": (
            oci.symlink("f", f"{outside}/precious"),
            oci.Entry("f", CONTENT),
            oci.Entry("f", CONTENT, mode=0o777),
        ),
        "mode through symlink": (
            oci.symlink("f", f"{outside}/precious"),
            oci.directory("f", 0o777, uid=1, gid=1),
        ),
        "hard link out": (oci.hardlink("h", f"{outside}/precious"), oci.Entry("h", CONTENT)),
        "hard link up": (oci.hardlink("h", f"{up}{outside}/precious"), oci.Entry("h", CONTENT)),
        "hard link through symlink": (
            oci.symlink("x", str(outside)),
            oci.hardlink("h", "x/precious"),
            oci.Entry("h", CONTENT),
        ),
        "hard link to symlink": (
            oci.symlink("x", f"{outside}/precious"),
            oci.hardlink("h", "x"),
            oci.Entry("h", CONTENT),
        ),
        "whiteout out": (oci.whiteout(f"{up}{outside}/precious"), oci.whiteout("../precious")),
        "whiteout through symlink": (oci.symlink("x", str(outside)), oci.whiteout("x/precious")),
        "opaque through symlink": (oci.symlink("x", str(outside)), oci.Entry("x/.wh..wh..opq")),
        "whiteout of dot": (oci.Entry(".wh."), oci.Entry("a/.wh.."), oci.Entry("a/.wh....")),
        "whiteout with slash": (oci.Entry(".wh.\\..\\..\\precious"), oci.Entry(".wh..wh.plnk/1.2")),
        "xattr": (oci.Entry("f", CONTENT, xattrs=(("trusted.overlay.redirect", str(outside)),)),),
        "overlay redirect": (
            oci.directory("d")._replace(xattrs=(("user.overlay.redirect", str(outside)),)),
            oci.directory("e")._replace(xattrs=(("user.overlay.opaque", "y"),)),
        ),
        "overlay metacopy": (
            oci.Entry(
                "f",
                b"",
                xattrs=(
                    ("user.overlay.metacopy", ""),
                    ("user.overlay.redirect", f"{outside}/precious"),
                ),
            ),
        ),
        "empty and dot names": (
            oci.Entry("", CONTENT),
            oci.directory("."),
            oci.directory("/"),
            oci.Entry("..", CONTENT),
        ),
        "root as link": (oci.symlink(".", str(outside)), oci.Entry("evil", CONTENT)),
        "root as file": (oci.Entry("./", CONTENT), oci.Entry("evil", CONTENT)),
    }


CASES = tuple(links_out(Path("/")))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layers", [1, 2])
def test_row_14_archives_stay_inside(
    rootless: Rootless, evil: Callable[..., str], outside: Path, case: str, layers: int
):
    entries = links_out(outside)[case]
    # With two, the link comes with one layer and what goes through it with the next.
    more = (oci.tar_of(*entries[1:]),) if layers == 2 else ()
    image = evil(*(entries[:1] if more else entries), layers=more)
    contained(rootless, image, outside)


def test_row_14_devices_and_setuid_files_give_nothing(rootless: Rootless, evil: Callable[..., str]):
    image = evil(
        oci.Entry("dev/kmem", kind=tarfile.CHRTYPE, device=(1, 2), mode=0o666),
        oci.Entry("disk", kind=tarfile.BLKTYPE, device=(8, 0), mode=0o666),
        oci.Entry("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        oci.Entry("pipe", kind=tarfile.FIFOTYPE),
        oci.Entry("setuid", b"#!/bin/sh\nid -u\n", mode=0o6755),
        oci.Entry("foreign", b"x", uid=4_000_000_000, gid=4_000_000_000, mode=0o4755),
        oci.Entry("strange", b"x", kind=b"Z"),
    )
    result = rootless("pull", "-q", image, check=False)
    assert "Traceback" not in result.stderr
    assert result.exit_code in (0, 125)
    if result.exit_code == 0:
        script = "for f in /disk /null; do test -b $f -o -c $f && cat $f; done; ls -ln / | head -40"
        run = rootless("run", "--rm", "--network=none", image, "sh", "-c", script, check=False)
        assert run.exit_code == 0, str(run)
    # The stored set-user-ID file is out of everybody else's reach.
    path = rootless.home
    while path != "/tmp":
        if os.stat(path).st_mode & 0o011 == 0:
            break
        path = os.path.dirname(path)
    assert os.stat(f"{rootless.home}/data").st_mode & 0o077 == 0


def _raw_header(name: bytes, size: int, kind: bytes, *, size_field: bytes | None = None) -> bytes:
    header = bytearray(512)
    header[0 : len(name[:100])] = name[:100]
    header[100:108] = b"0000644\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[124:136] = size_field or b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _endless_pax(records: int) -> bytes:
    body = b"".join(b"%d x%d=%s\n" % (1000, n, b"y" * (990 - len(str(n)))) for n in range(records))
    return _raw_header(b"PaxHeader", len(body), b"x") + body + bytes(-len(body) % 512)


TAIL = bytes(1024)
BROKEN = {
    "endless pax header": lambda: _endless_pax(9000) + _raw_header(b"f", 0, b"0") + TAIL,
    "pax header of 8 GiB": lambda: _raw_header(b"p", 8 << 30, b"x") + TAIL,
    "long name of 1 GiB": lambda: _raw_header(b"././@LongLink", 1 << 30, b"L") + TAIL,
    "many pax headers": lambda: (
        b"".join(
            _raw_header(b"p", 20, b"x") + b"20 comment=aaaaaaaa\n".ljust(512, b"\0")
            for _ in range(20000)
        )
        + TAIL
    ),
    "negative size": lambda: _raw_header(b"f", 0, b"0", size_field=b"\xff" * 12) + TAIL,
    "huge base-256 size": lambda: (
        _raw_header(b"f", 0, b"0", size_field=b"\x80" + b"\x7f" * 11) + TAIL
    ),
    "size that is no number": lambda: (
        _raw_header(b"f", 0, b"0", size_field=b"zzzzzzzzzzz\0") + TAIL
    ),
    "pax size lies": lambda: (
        _raw_header(b"p", 20, b"x")
        + b"20 size=99999999999\n".ljust(512, b"\0")
        + _raw_header(b"f", 0, b"0")
        + TAIL
    ),
    "pax record without end": lambda: (
        _raw_header(b"p", 10, b"x") + b"99 path=x\n".ljust(512, b"\0") + TAIL
    ),
    "pax record of length 0": lambda: (
        _raw_header(b"p", 10, b"x") + b"0 path=xx\n".ljust(512, b"\0") + TAIL
    ),
    "sparse file of 1 EiB": lambda: (
        _raw_header(b"p", 65, b"x")
        + b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n".ljust(512, b"\0")
        + _raw_header(b"f", 512, b"0")
        + b"1\n1152921504606846976\n0\n".ljust(512, b"\0")
        + TAIL
    ),
    "old GNU sparse": lambda: _raw_header(b"f", 0, b"S") + TAIL,
    "no archive": lambda: b"this is not a tar archive" * 100,
    "truncated": lambda: _raw_header(b"f", 10000, b"0") + b"x" * 512,
    "name of 1 MiB": lambda: oci.tar_of(oci.Entry("n" * (1 << 20), b"x")),
    "depth of 10000": lambda: oci.tar_of(oci.Entry("d/" * 10000 + "f", b"x")),
    "component of 300": lambda: oci.tar_of(oci.Entry("a/" + "n" * 300, b"x")),
    "name with NUL": lambda: (
        _raw_header(b"p", 20, b"x")
        + b"20 path=/etc/x\0/../y\n".ljust(512, b"\0")
        + _raw_header(b"f", 0, b"0")
        + TAIL
    ),
    "bytes that are no text": lambda: _raw_header(b"\xff\xfe\x80", 0, b"0") + TAIL,
    "name with escapes": lambda: oci.tar_of(oci.Entry("\x1b[2J\r\nevil", b"x", mode=0o644)),
    "wrong checksum": lambda: bytes(300) + b"x" + bytes(211) + TAIL,
}


@pytest.mark.parametrize("case", BROKEN)
def test_row_14_broken_archives_are_refused_in_bounded_time_and_space(
    rootless: Rootless, evil: Callable[..., str], outside: Path, case: str
):
    image = evil(layers=(BROKEN[case](),))
    result = rootless("pull", "-q", image, check=False, timeout_s=60)
    assert result.exit_code in (0, 125), str(result)[:2000]
    assert "Traceback" not in result.stderr
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 4000
    assert unchanged(outside)
    used = sum(
        os.lstat(f"{top}/{name}").st_blocks * 512
        for top, _, names in os.walk(f"{rootless.home}/data/scratch")
        for name in names
    )
    assert used == 0


@pytest.mark.show
def test_row_14_a_million_tiny_entries_are_bounded(rootless: Rootless, evil: Callable[..., str]):
    """Refused by the limit on entries, or unpacked: in bounded memory either way."""
    header = _raw_header(b"d/f", 0, b"0")
    body = io.BytesIO()
    for number in range(1_200_000):
        body.write(header[:2] + b"%07d" % number + header[9:148] + b" " * 8 + header[156:])
    content = bytearray(body.getvalue())
    for start in range(0, len(content), 512):
        content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
    image = evil(layers=(bytes(content) + TAIL,))
    result = rootless("pull", "-q", image, check=False, timeout_s=600)
    assert result.exit_code in (0, 125), str(result)[:2000]
    if result.exit_code:
        assert "entries" in result.stderr


def test_row_14_random_archives_stay_inside():
    """A short run; ``python3 -m tests.fuzz.fuzz_tar`` is the long one."""
    assert harness.run(fuzz_tar.check, seconds=60, seed=1, cases=150) == 150
