"""Mounts of files of the host, of parts of volumes and of images."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def directory(tmp_path) -> Path:
    """Some files of the caller."""
    (tmp_path / "host" / "sub").mkdir(parents=True)
    (tmp_path / "host" / "file").write_text("host\n")
    (tmp_path / "host" / "sub" / "deep").write_text("deep\n")
    return tmp_path / "host"


def test_a_container_writes_over_an_overlay_and_starts_anew(rootless, busybox, directory):
    script = "ls /x; rm -rf /x/sub; echo new >/x/new; chown 5 /x/file"
    mount = ("-v", f"{directory}:/x:O")
    made = ("run", "--name", "over", "--network", "none", *mount, busybox, "sh", "-c", script)
    assert rootless(*made).stdout == "file\nsub\n"
    assert rootless("start", "-a", "over").stdout == "file\nsub\n"
    assert (directory / "file").stat().st_uid == os.getuid()
    assert sorted(os.listdir(directory)) == ["file", "sub"]
    rootless("rm", "over")


def test_an_overlay_may_have_a_place_of_its_own(rootless, busybox, directory, tmp_path):
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    mount = f"{directory}:/x:O,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    rootless(*RUN, "-v", mount, busybox, "sh", "-c", "echo kept >/x/kept")
    assert rootless(*RUN, "-v", mount, busybox, "cat", "/x/kept").stdout == "kept\n"
    assert os.listdir(tmp_path / "upper") == ["kept"]
    assert "go together" in rootless.fails(*RUN, "-v", f"{directory}:/x:O,upperdir={tmp_path}/upper", busybox)  # fmt: skip
    assert "no directory" in rootless.fails(*RUN, "-v", f"{directory}/file:/x:O", busybox)
    rootless("unshare", "rm", "-rf", str(tmp_path / "work"))


@pytest.mark.parametrize(("flag", "writable"), [("ro", False), ("rro", False), ("ro,rrw", True)])
def test_read_only_goes_all_the_way_down(rootless, busybox, flag, writable):
    """/dev/shm is another file system below /dev, which anybody may write to."""
    name = f"rootless-test-{os.getpid()}"
    done = rootless(*RUN, "-v", f"/dev:/x:{flag}", busybox, "sh", "-c", f"echo >/x/shm/{name}", check=False)  # fmt: skip
    written = os.path.exists(f"/dev/shm/{name}")
    if written:
        os.unlink(f"/dev/shm/{name}")
    assert written == writable, str(done)
    assert ("Read-only" in done.stderr) != writable


def test_parts_of_a_directory_and_of_a_volume(rootless, busybox, directory):
    def shown(mount: str, path: str = "/x") -> str:
        return rootless(*RUN, "--mount", mount, busybox, "cat", path).stdout

    assert shown(f"type=bind,source={directory},target=/x,subpath=sub", "/x/deep") == "deep\n"
    assert shown(f"type=bind,source={directory},target=/x,subpath=sub/deep,ro") == "deep\n"
    rootless(*RUN, "-v", "parts:/v", busybox, "sh", "-c", "mkdir -p /v/a/b; echo b >/v/a/b/file; ln -s a /v/in")  # fmt: skip
    assert shown("source=parts,target=/x,volume-subpath=a/b", "/x/file") == "b\n"
    assert shown("source=parts,target=/x,volume-subpath=/a/b", "/x/file") == "b\n"
    assert shown("source=parts,target=/x,volume-subpath=in", "/x/b/file") == "b\n"
    missing = rootless.fails(*RUN, "--mount", "source=parts,target=/x,volume-subpath=c", busybox, "true")  # fmt: skip
    assert "no such file" in missing
    rootless("volume", "rm", "parts")


@pytest.mark.parametrize("trap", ["/etc", "../../../..", "/proc/self/root", "/proc/self/cwd"])
def test_a_link_in_a_volume_leads_no_part_of_it_outside(rootless, busybox, trap):
    rootless(*RUN, "-v", "trapped:/v", busybox, "ln", "-sfn", trap, "/v/part")
    said = rootless.fails(
        *RUN, "--mount", "source=trapped,target=/x,subpath=part", busybox, "ls", "/x"
    )
    assert "cannot bind part below" in said
    for path in ("..", "../..", "/../.."):
        mount = f"source=trapped,target=/x,subpath={path}"
        assert "that leads out of it" in rootless.fails(*RUN, "--mount", mount, busybox, "true")
    rootless("volume", "rm", "trapped")


def test_a_part_that_is_swapped_for_a_link_while_mounting(rootless, busybox, tmp_path):
    """The class of CVE-2021-30465 and CVE-2023-2727: what is mounted is the directory or nothing."""
    (tmp_path / "secret").write_text("of the host\n")
    rootless("run", "-d", "--name", "swapper", "--network", "none", "-v", "raced:/v", busybox, "sh", "-c",
        f"ln -s {tmp_path} /v/link; mkdir /v/dir; echo inside >/v/dir/secret; mv /v/dir /v/part; touch /v/ready;"
        " while :; do mv /v/part /v/dir; mv /v/link /v/part; mv /v/part /v/link; mv /v/dir /v/part; done")  # fmt: skip
    wait_until(
        lambda: rootless("exec", "swapper", "test", "-e", "/v/ready", check=False).exit_code == 0,
        what="the swapping",
    )
    for _ in range(15):
        done = rootless(*RUN, "--mount", "source=raced,target=/x,subpath=part", busybox, "cat", "/x/secret", check=False)  # fmt: skip
        assert done.stdout in ("", "inside\n"), str(done)
        assert done.exit_code in (0, 1, 125)
    rootless("rm", "-f", "swapper")
    rootless("volume", "rm", "raced")


def test_whoever_runs_inside_the_caller_can_remove_the_files(rootless, busybox, directory):
    rootless(*RUN, "-v", f"{directory}:/x", busybox, "sh", "-c", "mkdir /x/d; echo mine >/x/d/f")
    assert (directory / "d" / "f").stat().st_uid == os.getuid()
    os.chmod(directory, 0o777)
    script = "umask 077; mkdir /x/other; echo other >/x/other/f"
    given = ("-u", "1000", "-v", f"{directory}:/x", busybox, "sh", "-c", script)
    rootless(*RUN, "--userns", "host", *given)
    removal = subprocess.run(
        ["rm", "-r", str(directory / "other")], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )  # fmt: skip
    assert removal.returncode != 0, "nothing is shown when the files are the caller's anyway"
    rootless("unshare", "rm", "-r", str(directory / "other"))
    mount = f"{directory}:/x:U"
    rootless(*RUN, "--userns", "host", "-u", "1000", "-v", mount, busybox, "touch", "/x/again")
    rootless("unshare", "chown", "-R", "0:0", str(directory))
    assert (directory / "again").stat().st_uid == os.getuid()


@pytest.mark.parametrize("userns", ["keep-id", "auto", "nomap"])
def test_mounts_in_other_user_namespaces(rootless, busybox, directory, userns, needs_fuse):
    rootless("secret", "create", "--replace", "remapped", "-", stdin="value")
    script = (
        "stat -c %u:%g /var/tmp /bin/sh; echo x >/new/x; cat /new/x; echo y >/o/y; ls /o; cat /part/deep"
        " /run/secrets/remapped /etc/one; echo $VARIABLE"
    )
    given = (
        *("--userns", userns, "-u", "0", "-v", "new:/new", "-v", "binaries:/bin", "-v", f"{directory}:/o:O"),
        *("--mount", f"type=bind,source={directory},target=/part,subpath=sub"),
        *("--secret", "remapped", "--secret", "remapped,target=/etc/one"),
        *("--secret", "remapped,type=env,target=VARIABLE"),
    )  # fmt: skip
    done = rootless(*RUN, *given, busybox, "sh", "-c", script)
    assert done.stdout == "0:0\n0:0\nx\nfile\nsub\ny\ndeep\nvaluevaluevalue\n"
    rootless("volume", "rm", "new", "binaries")


@pytest.mark.parametrize("path", ["/", "/tmp", "/home", os.path.expanduser("~")])
def test_nobody_gives_everything_away(rootless, busybox, path):
    assert "U would give all of" in rootless.fails(*RUN, "-v", f"{path}:/x:U,O", busybox, "true")
    assert "U would give all of" in rootless.fails(*RUN, "-v", f"{path}:/x:U", busybox, "true")


def test_an_image_that_is_mounted_keeps_its_layers(rootless, busybox, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /one/data\nCOPY Dockerfile /two/data\n")  # fmt: skip
    rootless("build", "-q", "-t", "mounted", str(tmp_path))
    flags = ("--mount", "type=image,source=mounted,target=/x,subpath=two")
    rootless("create", "--name", "reader", "--network", "none", *flags, busybox, "cat", "/x/data")
    rootless("rmi", "-f", "mounted")
    assert "FROM scratch" in rootless("start", "-a", "reader").stdout
    [document] = json.loads(rootless("inspect", "reader").stdout)
    [mount] = document["Mounts"]
    assert (mount["Type"], mount["Source"], mount["RW"]) == ("image", "mounted", False)
    rootless("rm", "reader")


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "vfs"])
def test_images_are_mounted_where_nothing_is_stacked_by_the_kernel(
    rootless, busybox, driver, needs_fuse, tmp_path
):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox}\nRUN mkdir /one && touch /one/a /one/b && chown 7:8 /one/a\nRUN rm /one/b && touch /one/c\n"
    )
    env = {"ROOTLESS_STORAGE_DRIVER": driver}
    rootless("build", "-q", "--network", "none", "-t", "layers", str(tmp_path), env=env)

    def seen(mount: str, script: str) -> str:
        given = ("--mount", f"type=image,source=layers,target=/x{mount}")
        return rootless(*RUN, *given, busybox, "sh", "-c", script, env=env).stdout

    assert seen("", "ls /x/one; stat -c %u:%g /x/one/a; touch /x/new 2>&1 || true") == (
        "a\nc\n7:8\ntouch: /x/new: Read-only file system\n"
    )
    assert seen(",subpath=one", "ls /x") == "a\nc\n"
    assert (
        seen(",rw=true", "touch /x/new; rm /x/one/a; ls /x/new /x/one") == "/x/new\n\n/x/one:\nc\n"
    )
    assert seen("", "ls -d /x/one/a") == "/x/one/a\n", "what was written is gone"
    rootless("rmi", "layers", env=env)


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "vfs"])
def test_what_is_written_to_an_image_is_gone_at_the_next_start(
    rootless, busybox, driver, needs_fuse
):
    env = {"ROOTLESS_STORAGE_DRIVER": driver}
    mount = f"type=image,source={busybox},target=/x,rw=true"
    script = "echo x >>/x/new; cat /x/new; stat -c %Y /x/bin/busybox"
    made = ("--name", "again", "--network", "none", "--mount", mount, busybox, "sh", "-c", script)
    first = rootless("run", *made, env=env).stdout
    assert first.startswith("x\n")
    assert rootless("start", "-a", "again", env=env).stdout == first
    rootless("rm", "again", env=env)


def test_files_in_memory_go_when_the_container_stops(rootless, busybox):
    script = "ls /t; echo x >/t/x"
    made = ("run", "--name", "memory", "--network", "none", "--tmpfs", "/t", busybox, "sh", "-c")
    assert rootless(*made, script).stdout == ""
    assert rootless("start", "-a", "memory").stdout == ""
    rootless("rm", "memory")
    seen = rootless(*RUN, "--shm-size", "1m", busybox, "sh", "-c", "df -k /dev/shm | tail -n 1")
    assert seen.stdout.split()[1] == "1024"


def test_each_file_of_a_pattern(rootless, busybox, directory):
    shown = rootless(*RUN, "--mount", f"type=glob,source={directory}/*,target=/x,ro", busybox, "ls", "/x")  # fmt: skip
    assert shown.stdout == "file\nsub\n"
    assert "no file fits" in rootless.fails(*RUN, "--mount", f"type=glob,source={directory}/no*,target=/x", busybox)  # fmt: skip


@pytest.mark.parametrize("word", ["cached", "consistent", "delegated"])
def test_words_for_another_system_mean_nothing(rootless, busybox, directory, word):
    shown = rootless(*RUN, "-v", f"{directory}:/x:{word},ro", busybox, "cat", "/x/file").stdout
    assert shown == "host\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mount", "type=ramfs,target=/x,tmpfs-size=1m"), "a ramfs has no limit"),
        (("-v", "/tmp:/x:idmap"), "idmapped mounts need root"),
        (("-v", "/tmp:/x:upperdir=/a"), "goes with O only"),
        (("-v", "v:/proc/acpi"), "would hide what the kernel says"),
        (("-v", "v:/x/../sys"), "would hide what the kernel says"),
        (("--mount", "type=bind,source=/tmp,target=/x,uid=5"), "unknown option"),
    ],
)
def test_what_cannot_be_is_said(rootless, busybox, flags, words):
    assert words in rootless.fails(*RUN, *flags, busybox, "true")
    assert rootless("volume", "exists", "v", check=False).exit_code == 1


def test_what_lies_where_the_root_is_put_is_found(rootless, busybox):
    """With an id map of its own the container's root is mounted over /tmp first."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.mkdir(f"{directory}/part")
        rootless(*RUN, "-u", "100:102", "-v", f"{directory}:/x:U", busybox, "touch", "/x/file")
        mount = f"type=bind,source={directory},target=/x,subpath=part"
        rootless(*RUN, "-u", "100:102", "--mount", mount, busybox, "touch", "/x/below")
        assert sorted(os.listdir(f"{directory}/part") + os.listdir(directory)) == [
            "below", "file", "part"
        ]  # fmt: skip
