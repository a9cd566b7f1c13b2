from __future__ import annotations

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.storage.tar_reader import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HARD_LINK,
    SYMLINK,
    Entry,
    TarReader,
)
from rootless.storage.tar_writer import END, header, padding

PLAIN = Entry(b"f", FILE, 0o644, 0, 0, 0, 0, b"", (0, 0), (), None)


def written(*entries: Entry, content: bytes = b"") -> bytes:
    return b"".join(
        header(each) + (content + padding(len(content)) if each.kind == FILE else b"")
        for each in entries
    ) + END  # fmt: skip


names = st.lists(
    st.binary(min_size=1, max_size=120).filter(
        lambda part: not set(part) & {0, 0x2F} and part not in (b".", b"..")
    ),
    min_size=1,
    max_size=6,
).map(b"/".join)


entries = st.builds(
    Entry,
    path=names,
    link=names,
    kind=st.sampled_from([FILE, DIRECTORY, SYMLINK, HARD_LINK, CHARACTER]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 34),
    gid=st.integers(0, 1 << 34),
    size=st.integers(0, 1 << 40),
    mtime_ns=st.integers(-(1 << 33), 1 << 33).map(lambda seconds: seconds * 10**9),
    device=st.just((4, 65)),
    xattrs=st.dictionaries(st.from_regex(rb"\Auser\.[a-z]{1,90}\Z"), st.binary(max_size=300)).map(
        lambda xattrs: tuple(sorted(xattrs.items()))
    ),
    segments=st.none(),
)


@settings(max_examples=150, deadline=None)
@given(entries)
def test_what_is_written_is_read_back(entry):
    if entry.kind != FILE:
        entry = entry._replace(size=0)
    if entry.kind not in (SYMLINK, HARD_LINK):
        entry = entry._replace(link=b"")
    if entry.kind != CHARACTER:
        entry = entry._replace(device=(0, 0))
    (read,) = _headers(header(entry))
    assert read == entry


def _headers(content: bytes) -> list[Entry]:
    reader = TarReader([content])
    entries = []
    for entry in reader:
        entries.append(entry)
        reader._left = reader._padding = 0  # the test writes headers without the content
    return entries


def test_pythons_tarfile_reads_it():
    long = b"d" * 80 + b"/" + b"n" * 150
    content = written(
        PLAIN._replace(path=b"", kind=DIRECTORY, mode=0o755),
        PLAIN._replace(path=b"big", uid=4_000_000, size=5, xattrs=((b"user.a", b"b"),)),
        PLAIN._replace(path=long, size=5),
        PLAIN._replace(path=b"s", kind=SYMLINK, link=b"t" * 150),
        content=b"12345",
    )
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        root, big, deep, link = archive.getmembers()
        assert root.isdir()
        assert (big.uid, big.pax_headers["SCHILY.xattr.user.a"]) == (4_000_000, "b")
        assert deep.name == long.decode()
        file = archive.extractfile(deep)
        assert file
        assert file.read() == b"12345"
        assert link.linkname == "t" * 150


def test_a_name_that_ustar_can_split_needs_no_pax_header():
    entry = PLAIN._replace(path=b"d" * 90 + b"/" + b"n" * 90)
    assert len(header(entry)) == 512
    assert len(header(entry._replace(path=b"d" * 190))) > 512


def test_fractions_of_a_second_are_dropped():
    assert header(PLAIN._replace(mtime_ns=1_999_999_999)) == header(PLAIN._replace(mtime_ns=10**9))
