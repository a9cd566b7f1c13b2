"""Volumes, parts of them, owners and imports: what an image or a program puts there leads nowhere outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.security.test_surroundings import on_a_terminal
from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.cli import Rootless

SECRET = "only for the host's eyes"
RUN = ("run", "--rm", "--network=none")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    directory = tmp_path / "host"
    (directory / "sub").mkdir(parents=True)
    (directory / "secret").write_text(SECRET)
    (directory / "sub" / "secret").write_text(SECRET)
    return directory


@pytest.fixture
def volume(rootless: Rootless) -> Iterator[str]:
    rootless("volume", "create", "hostile")
    yield "hostile"
    rootless("volume", "rm", "-f", "hostile")


def state(directory: Path) -> list[tuple[str, int, int, int, int]]:
    return sorted(
        (str(each), status.st_uid, status.st_gid, status.st_mode, status.st_size)
        for each in (directory, *directory.rglob("*"))
        for status in (each.lstat(),)
    )


def test_a_new_volume_takes_nothing_through_a_link_of_the_image(
    rootless: Rootless, pulled: Callable[..., str], host: Path, volume: str
):
    """What an image has at the mount point is copied: what it only points at is not."""
    before = state(host)
    image = pulled(
        oci.symlink("whole", str(host)),
        oci.directory("data"),
        oci.symlink("data/secret", f"{host}/secret"),
        oci.symlink("data/sub", f"{host}/sub"),
        oci.symlink("up", f"../../../../../../..{host}"),
    )
    for target in ("/whole", "/data", "/data/sub", "/up"):
        rootless("volume", "rm", "-f", volume)
        for options in (("-v", f"{volume}:{target}"), ("--tmpfs", target)):
            seen = rootless(
                *(*RUN, *options, image, "sh", "-c"),
                f"find {target}/ -type f -exec cat {{}} \\; ; cat {target}/secret; echo x > {target}/new",
                check=False,
            )
            assert SECRET not in str(seen), (target, options)
    assert state(host) == before


def test_a_part_of_a_volume_is_a_part_of_it(
    rootless: Rootless, busybox: str, pulled: Callable[..., str], host: Path, volume: str
):
    """subpath= may be a link that a program has left there (CVE-2023-2728's kind)."""
    before = state(host)
    links = f"ln -s {host} /v/link; ln -s ../../../../../../../..{host} /v/up; ln -s link /v/two; mkdir /v/d"
    rootless(*RUN, "-v", f"{volume}:/v", busybox, "sh", "-c", links)
    image = pulled(oci.symlink("link", str(host)), oci.symlink("up", f"../../../../..{host}"))
    for source in (f"type=volume,source={volume}", f"type=image,source={image},rw=true"):
        for part in ("link", "up/sub", "two/sub", f"../../../../..{host}"):
            seen = rootless(
                *(*RUN, "--mount", f"{source},target=/x,subpath={part}", busybox, "sh", "-c"),
                "cat /x/secret /x/sub/secret; touch /x/owned /x/secret; ls /x",
                check=False,
            )
            assert SECRET not in str(seen), (source, part)
            assert "sub" not in seen.stdout.split(), (source, part)
    assert state(host) == before


def test_owners_are_changed_of_nothing_outside(
    rootless: Rootless, busybox: str, host: Path, volume: str, tmp_path: Path
):
    """``U`` gives a tree to the container's user: links in it are not followed."""
    before = state(host)
    shared = tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    for place in (shared, shared / "deep"):
        (place / "link").symlink_to(host)
        (place / "file").symlink_to(host / "secret")
    links = f"ln -s {host} /v/link; ln -s {host}/secret /v/file; mkdir /v/d; ln -s {host} /v/d/link"
    rootless(*RUN, "-v", f"{volume}:/v", busybox, "sh", "-c", links)
    for source in (volume, str(shared)):
        for options in ((), ("--user=1000:1000",), ("--userns=keep-id",), ("--userns=auto",)):
            rootless(*RUN, *options, "-v", f"{source}:/x:U", busybox, "true", check=False)
    assert state(host) == before


def test_an_imported_volume_stays_in_its_directory(
    rootless: Rootless, host: Path, volume: str, tmp_path: Path
):
    before = state(host)
    home = set(os.listdir(f"{rootless.home}/data"))
    archives = (
        (oci.symlink("out", str(host)), oci.Entry("out/owned", b"x")),
        (oci.symlink("out", str(host)), oci.Entry("out/sub/secret", b"x")),
        (oci.Entry(f"../../../../../../../..{host}/owned", b"x"),),
        (oci.Entry(f"{host}/owned", b"x"),),
        (oci.hardlink("grab", f"{host}/secret"),),
        (oci.symlink("s", f"{host}/secret"), oci.Entry("s", b"x")),
        (oci.Entry("../volume.json", b"{}"),),
    )
    for entries in archives:
        for command in (
            ("volume", "import", volume, "-"),
            ("import", "-", f"imported-{len(entries)}:latest"),
        ):
            rootless(*command, stdin=oci.tar_of(*entries), check=False)
    exported = rootless.start("volume", "export", volume).communicate(timeout=60)[0]
    assert SECRET.encode() not in exported
    assert state(host) == before
    assert rootless("volume", "inspect", volume).exit_code == 0
    assert set(os.listdir(f"{rootless.home}/data")) == home


def test_a_commit_holds_what_is_in_the_container(
    rootless: Rootless, busybox: str, host: Path, tmp_path: Path
):
    """Links are kept as links, and what is mounted is no part of it."""
    script = f"ln -s {host} /link; ln -s {host}/secret /file; mkdir -p /bound/x; echo own > /own"
    rootless(
        *("run", "--network=none", "--name=committed", "-v", f"{host}:/bound:ro"),
        *(busybox, "sh", "-c", script),
        check=False,
    )
    try:
        rootless("commit", "-q", "committed", "committed:latest")
        read = "cat /file /link/secret /bound/secret; cat /own"
        seen = rootless(*RUN, "committed:latest", "sh", "-c", read, check=False).stdout
        assert SECRET not in seen
        assert "own" in seen
    finally:
        rootless("rm", "-f", "committed")


ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def test_row_28_files_and_processes_cannot_write_to_the_terminal(rootless: Rootless, busybox: str):
    """Names that a program chose are shown, not obeyed."""
    script = (
        'touch "/$ESCAPE"; cp /bin/busybox "/tmp/$ESCAPE"; exec sh -c \'sleep 600; true\' "$ESCAPE"'
    )
    rootless(
        *("run", "-d", "--network=none", "--name=escaping", "-e", f"ESCAPE={ESCAPE}"),
        *("--label", f"l={ESCAPE}", busybox, "sh", "-c", script),
    )
    try:
        for command in (
            ("diff", "escaping"),
            ("top", "escaping"),
            ("top", "escaping", "args"),
            ("ps", "-a", "--no-trunc"),
            ("ps", "--format={{.Labels}} {{.Command}}"),
            ("inspect", "escaping"),
            ("events", "--since=1h", "--until=0s"),
            ("system", "df", "-v"),
        ):
            assert "\x1b" not in on_a_terminal(rootless, *command), command
        copied = rootless("cp", f"escaping:/{ESCAPE}x", "/tmp/nothing", check=False)
        assert "\x1b" not in copied.stderr
    finally:
        rootless("rm", "-f", "-t", "0", "escaping")
