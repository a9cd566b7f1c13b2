"""Texts of the command line to values."""

from __future__ import annotations

import pytest

from rootless.cli import values
from rootless.cli.mounts import parse_mount, parse_tmpfs, parse_volume
from rootless.engine.requests import MountRequest
from rootless.errors import InvalidRequest, Unsupported


@pytest.mark.parametrize(
    ("text", "bytes"),
    [
        ("0", 0), ("512", 512), ("512b", 512), ("1k", 1024), ("1KB", 1024), ("1KiB", 1024),
        ("64m", 64 << 20), ("64 m", 64 << 20), ("1Ki", 1024), ("64MB", 64 << 20), ("1.5g", 3 << 29), ("2T", 2 << 40),
    ],
)  # fmt: skip
def test_sizes_are_binary(text, bytes):
    assert values.size(text) == bytes


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1bb", "1.2.3", "nan", "inf", "1e3", "0x10", "１", "1  m"]
)
def test_a_size_must_be_one(text):
    with pytest.raises(InvalidRequest, match="is not a size"):
        values.size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("10", 10), ("1.5", 1.5), ("30s", 30), ("1h30m", 5400), ("500ms", 0.5), ("1m0.5s", 60.5),
        ("100us", 1e-4), ("2d", 172800),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert values.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "+", "s", "1x", "1m30", "-5s", "1h 2m", ".", "1..5s", "m1"])
def test_a_duration_must_be_one(text):
    with pytest.raises(InvalidRequest, match="is not a duration"):
        values.seconds(text)


def test_times_are_absolute_or_before_now():
    assert values.timestamp("1700000000.5", now=0) == 1700000000.5
    assert values.timestamp("10m", now=1000) == 400
    assert values.timestamp("1970-01-02T00:00:00Z", now=0) == 86400
    assert values.timestamp("1970-01-02T00:00:00.123456789+01:00", now=0) == pytest.approx(
        82800.123456
    )
    with pytest.raises(InvalidRequest, match="is not a time"):
        values.timestamp("yesterday", now=0)


def test_numbers():
    assert values.integer("-1") == -1
    assert values.natural("7") == 7
    assert values.decimal("0.5") == 0.5
    for wrong in ("", "-", "1.0", "0x1", "²"):
        with pytest.raises(InvalidRequest):
            values.integer(wrong)
    for wrong in ("-1", "x"):
        with pytest.raises(InvalidRequest):
            values.natural(wrong)
    for wrong in ("-0.1", "nan", "inf", ""):
        with pytest.raises(InvalidRequest):
            values.decimal(wrong)
    assert values.octal("0022") == 0o22
    for wrong in ("8", "", "-1", "17777", "1_0"):
        with pytest.raises(InvalidRequest):
            values.octal(wrong)


def test_an_entrypoint_is_a_program_or_an_array():
    assert values.words("/bin/sh -c") == ("/bin/sh -c",)
    assert values.words('["sh", "-c"]') == ("sh", "-c")
    assert values.words("") == ()
    assert values.words("[") == ("[",)  # a program of that name exists
    with pytest.raises(InvalidRequest):
        values.words("[1]")


def test_the_environment_is_what_was_said():
    surroundings = {"HOME": "/h", "LC_ALL": "C", "LC_TIME": "de", "EMPTY": ""}
    given = ("A=1", "HOME", "MISSING", "EMPTY", "LC_*", "B=x=y", "C=")
    assert values.environment(given, surroundings) == (
        "A=1", "HOME=/h", "EMPTY=", "LC_ALL=C", "LC_TIME=de", "B=x=y", "C=",
    )  # fmt: skip


def test_an_env_file_is_taken_literally():
    text = '# comment\n\nA=1 # no comment\r\n  B="quoted"\nC\nD=a=b\n'
    assert values.env_file(text, name="f") == ("A=1 # no comment", 'B="quoted"', "C", "D=a=b")
    with pytest.raises(InvalidRequest, match="f:2: 'export A' is not a name"):
        values.env_file("X=1\nexport A=1", name="f")


def test_labels_and_assignments():
    assert values.pair("a") == "a="
    assert values.pair("a=b=c") == "a=b=c"
    assert values.assignment("a=") == "a="
    for wrong in ("", "=x"):
        with pytest.raises(InvalidRequest):
            values.pair(wrong)
        with pytest.raises(InvalidRequest):
            values.variable(wrong)
    with pytest.raises(InvalidRequest):
        values.assignment("a")


def test_a_platform_from_its_parts():
    assert values.platform(None, None, None) is None
    assert values.platform(None, "arm64", "v8") == "linux/arm64/v8"
    assert values.platform("linux", None, None) == "linux/"
    with pytest.raises(InvalidRequest):
        values.platform(None, None, "v7")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", MountRequest("volume", "", "/data")),
        ("name:/data", MountRequest("volume", "name", "/data")),
        ("/a:/b", MountRequest("bind", "/a", "/b")),
        ("./a:/b:ro,Z", MountRequest("bind", "./a", "/b", ("ro", "Z"))),
        (".:/b:U,rshared", MountRequest("bind", ".", "/b", ("U", "rshared"))),
        ("/with\\:colon:/b", MountRequest("bind", "/with:colon", "/b")),
        ("/a:/b:O,upperdir=/u,workdir=/w", MountRequest("bind", "/a", "/b", ("O", "upperdir=/u", "workdir=/w"))),
    ],
)  # fmt: skip
def test_volumes(text, mount):
    assert parse_volume(text) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not of the form"),
        ("a:", "is not of the form"),
        (":/b", "is not of the form"),
        ("/a:/b:ro:x", "is not of the form"),
        ("relative", "must begin with /"),
        ("/a:b", "must begin with /"),
        ("a/b:/c", "a name has no slash"),
        ("/a:/b:rw,fast", "unknown option 'fast'"),
        ("/a:/b:ro,rw", "ro and rw contradict"),
    ],
)
def test_a_volume_that_cannot_be(text, message):
    with pytest.raises(InvalidRequest, match=message):
        parse_volume(text)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,src=/a,dst=/b,readonly", MountRequest("bind", "/a", "/b", ("nocreate", "ro"))),
        ("type=bind,source=sub,target=/b", MountRequest("bind", "./sub", "/b", ("nocreate",))),
        ("target=/b", MountRequest("volume", "", "/b")),
        ("source=v,target=/b,volume-nocopy", MountRequest("volume", "v", "/b", ("nocopy",))),
        ("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=0700", MountRequest("tmpfs", "", "/t", ("size=67108864", "mode=700"))),
        ('type=bind,"src=/a,b",dst=/c', MountRequest("bind", "/a,b", "/c", ("nocreate",))),
        ("type=bind,src=/a,dst=/b,ro=false", MountRequest("bind", "/a", "/b", ("nocreate",))),
        ("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", MountRequest("bind", "/a", "/b", ("nocreate", "rro"))),
        ("type=image,src=alpine,dst=/i,subpath=etc", MountRequest("image", "alpine", "/i", ("subpath=etc",))),
        ("type=bind,src=/a,dst=/b,bind-propagation=rslave,relabel=private", MountRequest("bind", "/a", "/b", ("nocreate", "rslave", "Z"))),
        ("type=bind,src=/a,dst=/b,consistency=cached", MountRequest("bind", "/a", "/b", ("nocreate",))),
    ],
)  # fmt: skip
def test_mounts(text, mount):
    assert parse_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown key ''"),
        ("type=bind,dst=/b", "has no source="),
        ("type=bind,src=/a", "has no target="),
        ("type=nfs,dst=/a", "unknown type 'nfs'"),
        ("type=tmpfs,src=/a,dst=/b", "a tmpfs has no source"),
        ("dst=relative", "must begin with /"),
        ("dst=/a,color=red", "unknown key 'color'"),
        ('dst=/a,"', "a quote that never ends"),
        ("dst=/a,tmpfs-size=big", "is not a size"),
    ],
)
def test_a_mount_that_cannot_be(text, message):
    with pytest.raises(InvalidRequest, match=message):
        parse_mount(text)


def test_a_mount_of_an_artifact_is_refused():
    with pytest.raises(Unsupported, match="artifact"):
        parse_mount("type=artifact,src=a,dst=/b")


def test_tmpfs():
    assert parse_tmpfs("/run") == MountRequest("tmpfs", "", "/run")
    assert parse_tmpfs("/run:") == MountRequest("tmpfs", "", "/run")
    assert parse_tmpfs("/run:rw,size=1m,mode=1777,uid=5,size=50%").options == (
        "rw", "size=1048576", "mode=1777", "uid=5", "size=50%",
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match="unknown option 'loud'"):
        parse_tmpfs("/run:loud")
