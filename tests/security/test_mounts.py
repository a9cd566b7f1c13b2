"""Rows 4 to 8: mounts land where they should, and masks and devices are the real ones."""

from __future__ import annotations

import json
import os
import pty
from typing import TYPE_CHECKING

import pytest

from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.security.conftest import Inside
    from tests.support.cli import Rootless

MOUNTS = """
    mounts = [line.split() for line in read("/proc/self/mountinfo").splitlines()]
    report(points={each[4]: each[each.index("-") + 1] for each in mounts}, root=sorted(os.listdir("/")))
"""


@pytest.mark.parametrize(
    "target", ["/../../../../tmp/outside", "/tmp/outside", "..", "/proc/1/root/tmp/x"]
)
def test_row_4_targets_resolve_inside_the_root(
    rootless: Rootless, pulled: Callable[..., str], tmp_path: Path, target: str
):
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "marker").write_text("x")
    image = pulled(oci.symlink("mnt", target))
    before = set(os.listdir("/tmp"))
    result = rootless(
        *("run", "--rm", "--network=none", "-v", f"{tmp_path}/volume:/mnt/inner", image),
        *("sh", "-c", "test -e /mnt/inner/marker && cat /proc/self/mountinfo"),
        check=False,
    )
    assert result.exit_code in (0, 125), str(result)
    assert not (tmp_path / "outside").exists()
    assert "outside" not in set(os.listdir("/tmp")) - before
    assert os.listdir(tmp_path / "volume") == ["marker"]


def test_row_4_a_target_swapped_in_a_race_stays_inside(inside: Inside, tmp_path: Path):
    """CVE-2021-30465: another container swaps a directory of a shared volume for a link to the root."""
    shared, volume = tmp_path / "shared", tmp_path / "volume"
    (shared / "place").mkdir(parents=True)
    volume.mkdir()
    (volume / "marker").write_text("x")
    os.symlink("/", shared / "link")
    os.chmod(shared, 0o777)
    swapper = inside.rootless.start(
        *inside.argv(
            """
            print("swapping", flush=True)
            while not os.path.exists("/shared/stop"):
                syscall("renameat2", -100, b"/shared/place", -100, b"/shared/link", 2)
            """,
            "-v",
            f"{shared}:/shared",
        )
    )
    assert swapper.stdout is not None
    assert swapper.stdout.readline() == b"swapping\n"
    code = """
        mounts = [line.split()[4] for line in read("/proc/self/mountinfo").splitlines()]
        report(mounts=mounts, host=os.path.exists("/var/lib/dpkg") or os.path.exists("/marker"))
    """
    outcomes = set()
    for _ in range(25):
        result = inside.rootless(
            *inside.argv(code, "-v", f"{shared}:/shared", "-v", f"{volume}:/shared/place"),
            check=False,
        )
        outcomes.add(result.exit_code)
        if result.exit_code == 0:
            answer = json.loads(result.stdout.splitlines()[-1])
            assert answer["host"] is False
            assert answer["mounts"].count("/") == 1
        else:
            assert result.exit_code in (125, 126, 127), str(result)
    (shared / "stop").write_text("")
    assert swapper.wait(timeout=30) == 0
    assert outcomes


def test_row_5_masks_are_the_real_null_device(inside: Inside, pulled: Callable[..., str]):
    code = """
        found = {}
        for path in ("/proc/keys", "/proc/interrupts", "/proc/timer_list", "/proc/kcore"):
            if os.path.exists(path):
                status = os.stat(path)
                found[path] = [oct(status.st_mode & 0o170000), os.major(status.st_rdev), os.minor(status.st_rdev)]
        report(found=found, empty=read("/proc/interrupts") == "", null=os.stat("/dev/null").st_rdev)
    """
    from tests.support.images import busybox_layer
    from tests.support.python_image import python_layer

    base = (busybox_layer(), python_layer())
    for entry in (
        oci.Entry("dev/null", b"not the null device\n", mode=0o666),
        oci.symlink("dev/null", "/proc/sys/kernel/core_pattern"),
        oci.symlink("dev/null", "../etc/passwd"),
    ):
        answer = inside(code, image=pulled(oci.directory("dev"), entry, base=base))
        assert answer["null"] == os.makedev(1, 3)
        assert answer["empty"]
        assert answer["found"]
        assert all(each == ["0o20000", 1, 3] for each in answer["found"].values())


def test_row_5_a_volume_over_dev_does_not_move_the_masks(inside: Inside, tmp_path: Path):
    os.symlink("/proc/sys/kernel/core_pattern", tmp_path / "null")
    answer = inside(
        'report(device=os.stat("/proc/interrupts").st_rdev, empty=read("/proc/interrupts") == "")',
        "-v",
        f"{tmp_path}:/dev",
    )
    assert answer == {"device": os.makedev(1, 3), "empty": True}


def test_row_6_the_terminal_is_a_device_of_the_containers_own(
    inside: Inside, pulled: Callable[..., str]
):
    """CVE-2025-52565: /dev/console and /dev/pts of the image lead elsewhere."""
    from tests.support.images import busybox_layer
    from tests.support.python_image import python_layer

    image = pulled(
        oci.directory("dev"),
        oci.symlink("dev/console", "/proc/sys/kernel/core_pattern"),
        oci.symlink("dev/pts", "/proc/sys"),
        oci.symlink("dev/ptmx", "/etc/passwd"),
        base=(busybox_layer(), python_layer()),
    )
    code = """
        console, terminal = os.stat("/dev/console"), os.fstat(0)
        mounts = [line.split() for line in read("/proc/self/mountinfo").splitlines()]
        kind = {each[4]: each[each.index("-") + 1] for each in mounts}
        report(
            same=(console.st_rdev, console.st_ino) == (terminal.st_rdev, terminal.st_ino),
            major=os.major(console.st_rdev), kinds=[kind.get("/dev/console"), kind.get("/dev/pts")],
            pattern=attempt(open, "/proc/sys/kernel/core_pattern", "w"), tty=os.isatty(0),
        )
    """
    ours, theirs = pty.openpty()
    process = inside.rootless.start(
        *inside.argv(code, "-i", "-t", image=image), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 4096):
            output += chunk
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait(timeout=30) == 0, output
    answer = json.loads(output.decode().strip().splitlines()[-1])
    assert answer["same"]
    assert answer["tty"]
    assert answer["major"] == 136
    assert answer["kinds"] == ["devpts", "devpts"]
    assert answer["pattern"] in ("EROFS", "EACCES", "EPERM")


@pytest.mark.parametrize(
    "name", ["proc", "sys", "dev", "dev/pts", "dev/shm", "sys/fs/cgroup", "dev/mqueue"]
)
@pytest.mark.parametrize("target", ["/tmp/fake", "fake", "/proc/self/root", "/"])
def test_row_7_links_where_the_kernels_files_belong_are_refused(
    rootless: Rootless, pulled: Callable[..., str], name: str, target: str
):
    """CVE-2023-27561, CVE-2025-52881: or writes to /proc would go to files of the image."""
    image = pulled(
        oci.directory("fake", 0o777), oci.directory("tmp/fake", 0o777), oci.symlink(name, target)
    )
    result = rootless(
        *("run", "--rm", "--network=none", "--sysctl=net.core.somaxconn=77", image),
        *("sh", "-c", "cat /proc/sys/net/core/somaxconn; find /fake /tmp/fake | wc -l"),
        check=False,
    )
    if "/" in name:  # a file system of ours covers the link
        assert (result.exit_code, result.stdout) == (0, "77\n2\n"), str(result)
    else:
        assert result.exit_code == 125, str(result)
        assert f"/{name}" in result.stderr


def test_row_7_a_fake_sysctl_tree_is_not_written(rootless: Rootless, busybox: str, tmp_path: Path):
    (tmp_path / "net" / "core").mkdir(parents=True)
    (tmp_path / "net" / "core" / "somaxconn").write_text("fake")
    for target in ("/proc/sys", "/proc/sys/net", "/proc"):
        rootless.fails(
            *("run", "--rm", "--network=none", "-v", f"{tmp_path}:{target}"),
            *("--sysctl=net.core.somaxconn=77", busybox, "true"),
        )
    assert (tmp_path / "net" / "core" / "somaxconn").read_text() == "fake"


@pytest.mark.parametrize(
    "target", ["/proc", "/proc/self", "/sys", "/sys/fs", "/proc/sys/kernel", "/x/../proc"]
)
def test_row_8_volumes_over_the_kernels_files_are_refused(
    rootless: Rootless, busybox: str, tmp_path: Path, target: str
):
    for options in (
        ("-v", f"{tmp_path}:{target}"),
        ("--mount", f"type=bind,source={tmp_path},target={target}"),
        ("--tmpfs", target),
        ("--mount", f"type=tmpfs,target={target}"),
    ):
        said = rootless.fails("run", "--rm", "--network=none", *options, busybox, "true")
        assert "would hide what the kernel says there" in said


def volumes(rootless: Rootless) -> set[str]:
    return set(rootless("volume", "ls", "-q").stdout.split())


@pytest.mark.parametrize(
    "volume",
    ["/proc", "/sys", "/proc/self/attr", "/../proc", "/link", "/link/sys", "/sys/fs", "/up", "/"],
)
def test_row_8_volumes_of_an_image_are_refused_there_as_well(
    rootless: Rootless, pulled: Callable[..., str], volume: str
):
    """CVE-2019-16884: the image brings the volume, and would switch confinement off with it."""
    links = (oci.symlink("link", "/proc"), oci.symlink("up", "../../../sys"))
    image = pulled(*links, config={"Volumes": {volume: {}, "/fine": {}}})
    before = volumes(rootless)
    for options in ((), ("--image-volume=tmpfs",), ("--read-only",), ("--privileged",), ("-d",)):
        said = rootless.fails("run", "--rm", "--network=none", *options, image, "true")
        assert volume.rpartition("/")[2] in said
    # Nothing of the attempt stays, and the caller can have the image without its volumes.
    assert volumes(rootless) == before
    assert not rootless("ps", "-aq").stdout
    options = ("--image-volume=ignore", "--network=none")
    seen = rootless("run", "--rm", *options, image, "cat", "/proc/self/mountinfo").stdout
    assert "/volumes/" not in seen


def test_row_8_a_volume_of_an_image_is_there_where_it_may_be(
    rootless: Rootless, pulled: Callable[..., str]
):
    """So that a refusal above is one of the place, not of volumes."""
    image = pulled(config={"Volumes": {"/fine": {}}})
    seen = rootless("run", "--rm", "--network=none", image, "cat", "/proc/self/mountinfo").stdout
    assert [line for line in seen.splitlines() if line.split()[4] == "/fine"]


def test_row_8_named_volumes_are_refused_there_too(rootless: Rootless, busybox: str):
    rootless("volume", "create", "row8")
    run = ("run", "--rm", "--network=none")
    try:
        for target in ("/proc", "/sys", "/proc/sys", "/sys/fs/cgroup", "/x/../sys"):
            for option in (
                ("-v", f"row8:{target}"),
                (
                    "--mount",
                    f"type=volume,source=row8,target={target}",
                ),
            ):
                said = rootless.fails(*run, *option, busybox, "true")
                assert "would hide what the kernel says there" in said
    finally:
        rootless("volume", "rm", "row8")


def test_row_8_a_link_of_the_image_does_not_lead_a_volume_there(
    rootless: Rootless, pulled: Callable[..., str], tmp_path: Path
):
    image = pulled(oci.symlink("data", "/proc"), oci.symlink("more", "/sys"))
    for target in ("/data", "/data/self", "/more/fs"):
        result = rootless(
            "run",
            "--rm",
            "--network=none",
            "-v",
            f"{tmp_path}:{target}",
            image,
            "true",
            check=False,
        )
        assert result.exit_code == 125, str(result)


def test_a_default_container_can_write_only_where_it_should(inside: Inside):
    """Promise 2: every mount is the container's own, and the kernel's are read-only."""
    answer = inside(MOUNTS)
    assert set(answer["points"].values()) <= {
        "overlay",
        "proc",
        "tmpfs",
        "devtmpfs",
        "devpts",
        "mqueue",
        "sysfs",
    } | {"ext4", "xfs", "btrfs", "cgroup2", "fuse.fuse-overlayfs"}
    written = inside(
        """
        import stat
        found = []
        for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"):
            for directory, _, names in os.walk(top):
                for name in names:
                    path = f"{directory}/{name}"
                    try:
                        if stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.W_OK):
                            found.append(path)
                    except OSError:
                        pass
        report(found=found, trigger=attempt(open, "/proc/sysrq-trigger", "w"))
        """
    )
    assert written["found"] == []
    assert written["trigger"] in ("EROFS", "EACCES", "EPERM", "ENOENT")
