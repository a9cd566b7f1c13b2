"""Rows 2, 10 and 12: no way back to the host through descriptors, loaded code or links of an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.security.conftest import Inside
    from tests.support.cli import Rootless


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that a container must not see, with a file in it."""
    (tmp_path / "secret").write_text("host's own\n")
    return tmp_path


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9, 10, 12, 16])
def test_row_2_working_directory_is_inside_the_root(rootless: Rootless, busybox: str, number: int):
    for place in ("self", "1", "thread-self"):
        directory = f"/proc/{place}/fd/{number}"
        result = rootless(
            "run", "--rm", "--network=none", "-w", directory, busybox, "ls", "-d", "..", check=False
        )
        assert result.exit_code == 125, str(result)
        assert "working directory" in result.stderr or directory in result.stderr


def test_row_2_image_cannot_choose_a_leaked_directory(
    rootless: Rootless, pulled: Callable[..., str]
):
    for target in ("/proc/self/fd/7", "/proc/self/cwd/../../..", "/proc/1/root/../.."):
        image = pulled(oci.symlink("leak", target), config={"WorkingDir": "/leak"})
        result = rootless("run", "--rm", "--network=none", image, "pwd", check=False)
        assert result.exit_code in (0, 125), str(result)
        assert result.stdout in ("", "/\n", "/leak\n"), str(result)


def test_row_2_exec_checks_its_directory_too(rootless: Rootless, busybox: str):
    rootless("run", "-d", "--network=none", "--name", "row2", busybox, "sleep", "600")
    try:
        for number in range(3, 12):
            result = rootless("exec", "-w", f"/proc/self/fd/{number}", "row2", "ls", check=False)
            assert result.exit_code == 125, str(result)
    finally:
        rootless("rm", "-f", "row2")


CODE = """
    found = {each: os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{each}")}
    report(**found)
"""


@pytest.mark.parametrize("how", ["run", "exec"])
def test_row_2_only_three_descriptors_are_open(inside: Inside, outside: Path, how: str):
    """Whatever the caller left open, and with exec whatever we have open ourselves."""
    directory = os.open(outside, os.O_RDONLY)
    file = os.open(outside / "secret", os.O_RDONLY)
    for fd in (directory, file):
        os.set_inheritable(fd, True)
    rootless = inside.rootless
    argv = inside.argv(CODE)
    if how == "exec":
        rootless("run", "-d", "--network=none", "--name=fds", inside.image, "sleep", "600")
        argv = ("exec", "fds", *inside.program(CODE))
    try:
        process = rootless.start(*argv, pass_fds=(directory, file))
        output, errors = process.communicate(timeout=60)
    finally:
        os.close(directory)
        os.close(file)
        if how == "exec":
            rootless("rm", "-f", "fds")
    assert process.returncode == 0, errors.decode()
    import json

    answer = json.loads(output)
    assert set(answer) == {"0", "1", "2"}
    assert not any("secret" in link or str(outside) in link for link in answer.values())


def test_row_10_nothing_is_loaded_from_the_containers_root(
    rootless: Rootless, pulled: Callable[..., str]
):
    """CVE-2019-14271: whatever the tool would import, dlopen or look names up with is poisoned here."""
    import encodings
    import sys

    poison = b"import os\nopen('/poisoned', 'w').close()\nraise SystemExit(77)\n"
    library = os.path.dirname(os.path.dirname(encodings.__file__)).lstrip("/")
    modules = (
        "os warnings codecs encodings/__init__ encodings/utf_8 encodings/idna locale _bootlocale"
    )
    modules += (
        " pwd grp subprocess tempfile shutil signal traceback linecache tokenize sitecustomize"
    )
    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    entries = [oci.Entry(f"{library}/{name}.py", poison) for name in modules.split()]
    entries += [oci.Entry(f"{packages.lstrip('/')}/rootless/__init__.py", poison)]
    entries += [
        oci.Entry(f"usr/lib/{os.uname().machine}-linux-gnu/{name}", b"\x7fELF poison")
        for name in ("libnss_files.so.2", "libnss_compat.so.2", "libc.so.6", "gconv/gconv-modules")
    ]
    entries += [
        oci.Entry("etc/nsswitch.conf", b"passwd: compat evil\ngroup: evil\nhosts: evil\n"),
        oci.Entry("etc/ld.so.preload", b"/evil.so\n"),
    ]
    environment = [
        "LD_PRELOAD=/evil.so",
        "PYTHONPATH=/evil",
        "PYTHONHOME=/evil",
        "LD_LIBRARY_PATH=/evil",
    ]
    environment += ["PYTHONSTARTUP=/evil", "GCONV_PATH=/evil", "LOCPATH=/evil", "PATH=/bin"]
    image = pulled(*entries, config={"Env": environment})
    check = ("sh", "-c", "test ! -e /poisoned && echo clean")
    for user in ("user", "1000:wheel", "root"):
        for network in ("none", "private"):
            options = ("--network", network, "-u", user, "-w", "/new/directory")
            result = rootless("run", "--rm", *options, image, *check)
            assert result.stdout == "clean\n"
    rootless("run", "-d", "--network=none", "--name=poison", image, "sleep", "600")
    try:
        assert rootless("exec", "-u", "user", "poison", *check).stdout == "clean\n"
        assert rootless.fails("exec", "-u", "nobody-such", "poison", "true")
    finally:
        rootless("rm", "-f", "poison")
    assert sys.prefix


@pytest.mark.parametrize("name", ["etc/passwd", "etc/group"])
def test_row_12_identity_files_do_not_lead_to_the_host(
    rootless: Rootless, pulled: Callable[..., str], tmp_path: Path, name: str
):
    line = (
        "hostuser:x:4242:4242::/host:/bin/sh\n" if name == "etc/passwd" else "hostgroup:x:4242:\n"
    )
    (tmp_path / "secret").write_text(line)
    for place in (tmp_path, tmp_path.parent):
        os.chmod(place, 0o755)
    spec = "hostuser" if name == "etc/passwd" else "0:hostgroup"
    for target in (f"{tmp_path}/secret", f"../../../../../../..{tmp_path}/secret"):
        image = pulled(oci.symlink(name, target))
        assert "in the container's /etc/" in rootless.fails(
            "run", "--rm", "--network=none", "-u", spec, image, "id"
        )
        rootless("run", "-d", "--network=none", "--name=row12", image, "sleep", "600")
        try:
            assert "in the container's /etc/" in rootless.fails("exec", "-u", spec, "row12", "id")
        finally:
            rootless("rm", "-f", "row12")


@pytest.mark.parametrize(
    "entry",
    [
        oci.Entry("etc/passwd", kind=b"6"),  # a FIFO that nobody writes
        oci.directory("etc/passwd"),
        oci.symlink("etc/passwd", "/proc/self/environ"),
        oci.symlink("etc/passwd", "/dev/zero"),
        oci.symlink("etc/passwd", "passwd"),
        oci.Entry("etc/passwd", b"x" * (24 << 20)),
        oci.Entry("etc/passwd", b"\x00\xff\n:::::\n" * 100_000),
    ],
    ids=["fifo", "directory", "environ", "zero", "loop", "huge", "garbage"],
)
def test_row_12_strange_identity_files_neither_hang_nor_fill_memory(
    rootless: Rootless, pulled: Callable[..., str], entry: oci.Entry
):
    image = pulled(oci.whiteout("etc/passwd"), entry)
    program = (image, "grep", "Uid:", "/proc/self/status")  # it reads no passwd itself
    result = rootless("run", "--rm", "--network=none", "-u", "12:34", *program, timeout_s=30)
    assert result.stdout.split()[1] == "12"
    failed = rootless("run", "--rm", "--network=none", "-u", "name", *program, check=False)
    assert failed.exit_code == 125, str(failed)
    assert "Traceback" not in failed.stderr


def test_row_12_written_files_do_not_follow_links(
    rootless: Rootless, pulled: Callable[..., str], tmp_path: Path
):
    """/etc/hosts, /etc/hostname and /etc/resolv.conf are ours: a link of the image must not move them."""
    for name in ("hosts", "hostname", "resolv.conf"):
        (tmp_path / name).write_text("host's own\n")
    image = pulled(
        *(oci.symlink(f"etc/{name}", f"{tmp_path}/{name}") for name in ("hosts", "hostname")),
        oci.symlink("etc/resolv.conf", "../../../../../../../etc/shadow"),
    )
    rootless("run", "--rm", "--network=none", image, "sh", "-c", "echo evil >> /etc/hosts; true")
    for name in ("hosts", "hostname", "resolv.conf"):
        assert (tmp_path / name).read_text() == "host's own\n"
