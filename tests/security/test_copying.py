"""Row 9: ``cp`` with a container whose program plants links, swaps what is copied, and sends odd archives."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support import oci
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cli import Rootless

SECRET = "only for the host's eyes"
LINKS = (
    "mkdir -p /in/d; ln -s {host} /in/link; ln -s {host}/secret /in/file; ln -s {host}/made /in/d/new;"
    " ln -s ../../../../../../../..{host} /in/up; ln -s /in/loop /in/loop; ln -s /proc/1/root /in/root;"
    " ln -s / /in/top; ln -s {host} /planted"
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host that no copy names."""
    directory = tmp_path / "host"
    directory.mkdir()
    (directory / "secret").write_text(SECRET)
    return directory


def contents(directory: Path) -> dict[str, str]:
    return {
        str(each.relative_to(directory)): each.read_text()
        for each in directory.rglob("*")
        if not each.is_symlink() and each.is_file()
    }


@pytest.fixture(params=["running", "stopped"])
def planted(
    request: pytest.FixtureRequest, rootless: Rootless, busybox: str, host: Path
) -> Iterator[str]:
    """A container full of links to the host's directory."""
    name = f"row9-{request.param}"
    script = LINKS.format(host=host) + "; touch /ready"
    if request.param == "running":
        rootless(
            *("run", "-d", "--network=none", "--name", name, busybox),
            "sh",
            "-c",
            f"{script}; exec sleep 600",
        )
        wait_until(
            lambda: rootless("exec", name, "test", "-e", "/ready", check=False).exit_code == 0,
            "the links",
        )
    else:
        rootless(*("run", "--network=none", "--name", name, busybox), "sh", "-c", script)
    yield name
    rootless("rm", "-f", "-t", "0", name)


def test_row_9_out_of_a_container_comes_only_what_is_in_it(
    rootless: Rootless, planted: str, host: Path, tmp_path: Path
):
    """CVE-2018-15664, reading: links are resolved inside the root, whoever follows them."""
    for number, source in enumerate(
        (
            *(
                "/in/link/secret",
                "/in/up/secret",
                "/in/file",
                "/planted/secret",
                "/in/link/.",
                "/in/up/",
            ),
            *(
                "/in/root/etc/hostname",
                f"/in/top/../..{host}/secret",
                "/in",
                f"/proc/1/root{host}/secret",
            ),
        )
    ):
        for flags in ((), ("-L",), ("-a",)):
            target = tmp_path / f"out-{number}{''.join(flags)}"
            target.mkdir()
            rootless("cp", *flags, f"{planted}:{source}", f"{target}/got", check=False)
            assert SECRET not in contents(target).values(), (source, flags)


def test_row_9_into_a_container_goes_nothing_beside_it(
    rootless: Rootless, planted: str, host: Path, tmp_path: Path
):
    """CVE-2018-15664, writing: the target is a link of the container to the host."""
    before = contents(host)
    (tmp_path / "give").mkdir()
    (tmp_path / "give" / "owned").write_text("owned")
    for target in (
        *(
            "/in/link",
            "/in/link/owned",
            "/in/up/",
            "/in/file",
            "/in/d/new",
            "/planted/x/y",
            "/in/top",
        ),
        *(f"/in/top{host}/owned", f"/../../../..{host}/owned", "/in/root/owned", "/in/loop"),
    ):
        for source in ("give", "give/owned"):
            rootless("cp", f"{tmp_path}/{source}", f"{planted}:{target}", check=False)
    archive = oci.tar_of(
        oci.symlink("out", str(host)),
        oci.Entry("out/owned", b"x"),
        oci.Entry("link/owned", b"x"),
        oci.hardlink("grab", f"{host}/secret"),
    )
    rootless("cp", "-", f"{planted}:/in", stdin=archive, check=False)
    above = oci.tar_of(oci.Entry(f"../../../../../..{host}/owned", b"x"))
    rootless("cp", "-", f"{planted}:/in", stdin=above, check=False)
    assert contents(host) == before


def test_row_9_what_comes_out_has_no_rights_of_its_own(
    rootless: Rootless, busybox: str, tmp_path: Path
):
    """A file that would run as the caller, whoever starts it, is not what anybody asked for."""
    script = (
        "mkdir /in; cp /bin/busybox /in/tool; chmod 6755 /in/tool; chmod 2777 /in; mkfifo /in/pipe"
    )
    rootless("run", "--network=none", "--name=row9-suid", busybox, "sh", "-c", script)
    try:
        rootless("cp", "row9-suid:/in", f"{tmp_path}/got")
        rootless("cp", "row9-suid:/in/tool", f"{tmp_path}/tool")
    finally:
        rootless("rm", "-f", "row9-suid")
    for path in (f"{tmp_path}/got", f"{tmp_path}/got/tool", f"{tmp_path}/tool"):
        assert os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) == 0, path
    assert os.lstat(f"{tmp_path}/tool").st_mode & 0o777 == 0o755


def test_row_9_a_pipe_in_place_of_a_file_does_not_hang(
    rootless: Rootless, busybox: str, tmp_path: Path
):
    """The file is swapped for a pipe that nobody writes to between looking and opening."""
    flip = (
        "mkdir /in; cd /in; echo x > file; mkfifo pipe; touch /ready;"
        " while :; do mv file kept; mv pipe file; mv file pipe; mv kept file; done"
    )
    rootless("run", "-d", "--network=none", "--name=row9-pipe", busybox, "sh", "-c", flip)
    try:
        wait_until(
            lambda: (
                rootless("exec", "row9-pipe", "test", "-e", "/ready", check=False).exit_code == 0
            ),
            "the race to begin",
        )
        for turn in range(7):
            rootless("cp", "row9-pipe:/in/file", f"{tmp_path}/{turn}", check=False, timeout_s=20)
    finally:
        rootless("rm", "-f", "-t", "0", "row9-pipe")
