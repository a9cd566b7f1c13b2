from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import ImageRefused
from rootless.storage.tar_reader import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    SYMLINK,
    Limits,
    Segment,
    TarReader,
    clean,
    parse_time,
    text,
)
from tests.support import tars


def read(content: bytes, *, limits: Limits | None = None, step: int = 1 << 20):
    """Entries with their content; ``step`` is the size of the chunks it comes in."""
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    reader = TarReader(chunks, limits)
    return [(entry, b"".join(map(bytes, reader.content()))) for entry in reader]


def refusal(content: bytes, **options: object) -> str:
    with pytest.raises(ImageRefused) as caught:
        read(content, **options)  # type: ignore[arg-type]
    return caught.value.message


@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 4096, 1 << 20])
def test_entries_are_the_same_however_the_stream_is_cut(step):
    content = tars.archive(
        tars.directory("d", 0o1777),
        tars.member("d/f", b"x" * 1000, mode=0o4755, uid=5, gid=6, mtime=77),
        tars.symlink("d/s", "../f"),
        tars.hard_link("d/h", "d/f"),
    )
    (d, _), (f, body), (s, _), (h, _) = read(content, step=step)
    assert (d.path, d.kind, d.mode) == (b"d", DIRECTORY, 0o1777)
    assert (f.path, f.kind, f.mode, f.uid, f.gid, f.size) == (b"d/f", FILE, 0o4755, 5, 6, 1000)
    assert f.mtime_ns == 77 * 10**9
    assert body == b"x" * 1000
    assert (s.kind, s.link) == (SYMLINK, b"../f")
    assert (h.kind, h.link) == (HARD_LINK, b"d/f")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_reads_what_pythons_tarfile_writes(format, data):
    name = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=40)
    names = data.draw(st.lists(name.filter(lambda n: n not in (".", "..")), max_size=5))
    buffer = io.BytesIO()
    expected = []
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for each in names:
            member = tarfile.TarInfo(
                each if format == tarfile.USTAR_FORMAT else f"{each}/" * 3 + each
            )
            body = data.draw(st.binary(max_size=1200))
            member.size, member.uid, member.mtime = len(body), 7, 123
            try:
                archive.addfile(member, io.BytesIO(body))
            except ValueError:  # too long for the format
                continue
            expected.append((member.name.encode(), body))
    assert [(entry.path, body) for entry, body in read(buffer.getvalue())] == expected


def test_long_names_of_gnu_and_pax_and_the_ustar_prefix():
    long = "a/" * 90 + "name"
    target = "t" * 200
    content = tars.archive(
        tars.gnu_long(long) + tars.gnu_long(target, kind=b"K") + tars.symlink("cut", "cut"),
        tars.symlink("cut", "cut", pax={"path": long, "linkpath": target}),
        tars.member("tail", prefix=b"front"),
        tars.member("tail", magic=tars.GNU_MAGIC, tail=b"\0\0\0no prefix"),
    )
    entries = [entry for entry, _ in read(content)]
    assert [entry.path for entry in entries] == [long.encode()] * 2 + [b"front/tail", b"tail"]
    assert [entry.link for entry in entries[:2]] == [target.encode()] * 2


def test_pax_records_overrule_the_header_and_global_ones_do_not():
    pax = {"uid": "3000000", "gid": "4000000", "mtime": "-1.5", "SCHILY.xattr.user.x": b"\0=\n"}
    content = tars.archive(
        tars.pax_header({"uid": "9", "path": "wrong"}, kind=b"g"),
        tars.member("f", b"abc", pax={**pax, "size": "3"}, size=0),
        tars.member("plain"),
    )
    (entry, body), (plain, _) = read(content)
    assert (entry.uid, entry.gid, entry.mtime_ns) == (3000000, 4000000, -1_500_000_000)
    assert entry.xattrs == ((b"user.x", b"\0=\n"),)
    assert body == b"abc"
    assert (plain.path, plain.uid) == (b"plain", 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1", 10**9),
        (b"1.5", 1_500_000_000),
        (b"0.123456789012", 123456789),
        (b"-3.25", -3_250_000_000),
    ],
)
def test_pax_times(value, expected):
    assert parse_time(value) == expected


def test_base_256_numbers_and_times_beyond_the_kernels():
    content = tars.archive(tars.member("f", uid=1 << 40, mtime=-5), tars.member("g", mtime=1 << 80))
    (f, _), (g, _) = read(content)
    assert (f.uid, f.mtime_ns) == (1 << 40, -5 * 10**9)
    assert g.mtime_ns == 10**9 << 40


def test_version_7_directories_and_empty_type():
    content = tars.archive(
        tars.member("old/", magic=bytes(8)), tars.member("f", b"1", kind=b"\0", magic=bytes(8))
    )
    assert [entry.kind for entry, _ in read(content)] == [DIRECTORY, FILE]


def test_sparse_files_in_all_four_forms():
    stored = b"A" * 512 + b"B" * 512
    table = b"".join(tars.number(n, 12) for n in (1024, 512, 4096, 512))
    old = tars.member(
        "old", stored, kind=b"S", magic=tars.GNU_MAGIC,
        tail=bytes(41) + table.ljust(96, b"\0") + b"\0" + tars.number(8192, 12),
    )  # fmt: skip
    many = [(index * 1024, 256) for index in range(8)]
    extended = b"".join(tars.number(n, 12) for pair in many[4:] for n in pair).ljust(504, b"\0")
    first = b"".join(tars.number(n, 12) for pair in many[:4] for n in pair)
    chained = tars.member(
        "chained", b"", kind=b"S", magic=tars.GNU_MAGIC, size=2048,
        tail=bytes(41) + first + b"\1" + tars.number(9000, 12),
    ) + extended.ljust(512, b"\0") + b"C" * 2048  # fmt: skip
    pairs = "".join(
        tars.pax_record(f"GNU.sparse.{key}", str(value)).decode()
        for pair in ((1024, 512), (4096, 512))
        for key, value in zip(("offset", "numbytes"), pair, strict=True)
    )
    zero = tars.raw_pax(tars.pax_record("GNU.sparse.size", "8192") + pairs.encode())
    one = {"GNU.sparse.map": "1024,512,4096,512", "GNU.sparse.size": "8192", "GNU.sparse.name": "n"}
    version = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "8192", "GNU.sparse.name": "real",
    }  # fmt: skip
    map10 = tars.padded(b"2\n1024\n512\n4096\n512\n")
    content = tars.archive(
        old,
        chained,
        zero + tars.member("zero", stored),
        tars.member("one", stored, pax=one),
        tars.member("ten", map10 + stored, pax=version),
        tars.member("after", b"after"),
    )
    entries = read(content)
    segments = (Segment(1024, 512), Segment(4096, 512))
    by_name = {entry.path: (entry, body) for entry, body in entries}
    assert list(by_name) == [b"old", b"chained", b"zero", b"n", b"real", b"after"]
    for name in (b"old", b"zero", b"n", b"real"):
        entry, body = by_name[name]
        assert (entry.size, entry.segments, body) == (8192, segments, stored)
    assert by_name[b"chained"][0].segments == tuple(Segment(*pair) for pair in many)
    assert by_name[b"chained"][1] == b"C" * 2048
    assert by_name[b"after"][1] == b"after"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"./a//b/./c/", b"a/b/c"),
        (b"/etc/passwd", b"etc/passwd"),
        (b"a/../b", b"b"),
        (b"./", b""),
        (b"/", b""),
        (b"a/b/..", b"a"),
    ],
)
def test_names_are_cleaned(name, path):
    assert clean(name) == path


@pytest.mark.parametrize("name", [b"..", b"../x", b"/../x", b"a/../../x", b"a\0b", b"x" * 256])
def test_names_that_leave_the_root_or_cannot_be_are_refused(name):
    with pytest.raises(ImageRefused):
        clean(name)


def test_text_for_messages_holds_no_control_characters():
    assert text(b"a\x1b[31m\xff") == "a\\x1b[31m\\xff"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (tars.member("f", checksum=1), "checksum"),
        (tars.member("f", b"x" * 1000)[:1100], "middle of a file"),
        (tars.member("f")[:300], "middle of a header"),
        (tars.pax_header({"path": "x"}), "after an extended header"),
        (tars.member("f", size=-1), "cannot be"),
        (tars.member("f", size=1 << 70), "cannot be"),
        (tars.member("f", uid=-7), "cannot be"),
        (tars.member("f", kind=b"V"), "unknown tar type"),
        (tars.symlink("s", ""), "link"),
        (tars.hard_link("h", "../../x"), "leaves the root"),
        (tars.member("f", pax={"path": "a\0b"}), "NUL"),
        (tars.member("f", pax={"size": "x"}), "number"),
        (tars.member("f", pax={"mtime": "1e9"}), "number"),
        (tars.member("f", pax={"path": "x/" * 3000}), "name of 6000 bytes"),
        (tars.raw_pax(b"99 path=short\n") + tars.member("f"), "malformed"),
        (tars.raw_pax(b"11 pathless\n") + tars.member("f"), "malformed"),
        (tars.raw_pax(b"x" * 50) + tars.member("f"), "malformed"),
        (tars.raw_pax(b"", size=1 << 40) + tars.member("f"), "extended header of"),
        (tars.raw_pax(b"", size=-1) + tars.member("f"), "extended header of"),
        (tars.pax_header({"a": "b"}) * 9 + tars.member("f"), "too many extended headers"),
    ],
)
def test_broken_archives_are_refused_by_name(content, word):
    assert word in refusal(content)


@pytest.mark.parametrize(
    "pax",
    [
        {"GNU.sparse.map": "0,10,5,10", "GNU.sparse.size": "100"},
        {"GNU.sparse.map": "0,10", "GNU.sparse.size": "100"},
        {"GNU.sparse.map": "90,20", "GNU.sparse.size": "100"},
        {"GNU.sparse.map": "1", "GNU.sparse.size": "100"},
        {"GNU.sparse.map": "0,20", "GNU.sparse.size": str(1 << 63)},
        {"GNU.sparse.map": "0,20"},
        {"GNU.sparse.major": "1", "GNU.sparse.realsize": "100"},
    ],
)
def test_sparse_maps_that_do_not_fit_are_refused(pax):
    assert "sparse" in refusal(tars.archive(tars.member("f", b"x" * 20, pax=pax)))


def test_endless_sparse_maps_stop():
    more = (tars.number(0, 12) * 42).ljust(504, b"\0") + b"\1" + bytes(7)
    head = tars.member(
        "f", kind=b"S", magic=tars.GNU_MAGIC,
        tail=bytes(41) + tars.number(0, 12) * 8 + b"\1" + tars.number(9, 12),
    )  # fmt: skip
    assert "endless" in refusal(head + more * 100, limits=Limits(header_bytes=10_000))
    version = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "1"}
    digits = tars.member("f", b"9" * 100_000, pax=version)
    assert "endless" in refusal(digits, limits=Limits(header_bytes=10_000))


def test_the_number_of_entries_is_limited_and_headers_count():
    content = tars.archive(*(tars.pax_header({"a": "b"}) + tars.member(f"f{n}") for n in range(10)))
    assert len(read(content, limits=Limits(entries=20))) == 10
    assert "more than 19 entries" in refusal(content, limits=Limits(entries=19))


def test_what_follows_the_end_is_read_and_means_nothing():
    content = tars.archive(tars.member("f")) + tars.archive(tars.member("../evil"))
    assert [entry.path for entry, _ in read(content)] == [b"f"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2048), st.integers(0, 3000), st.integers(0, 255))
def test_noise_is_read_or_refused_and_nothing_else(noise, position, value):
    whole = bytearray(
        tars.archive(
            tars.member("f", b"body", pax={"path": "g", "SCHILY.xattr.user.a": "b"}),
            tars.member(
                "s", pax={"GNU.sparse.map": "0,4", "GNU.sparse.size": "9"}, content=b"1234"
            ),
        )
    )
    whole[position % len(whole)] = value
    for content in (bytes(whole), bytes(whole) + noise, noise):
        try:
            read(content)
        except ImageRefused:
            pass
