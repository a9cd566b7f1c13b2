"""A throw-away Debian machine in which an ordinary user has what a desktop login has.

cgroup v2 only, a systemd user session with every controller delegated, subordinate ids, FUSE and TUN:
what most machines that run tests lack.  QEMU boots it in about ten seconds, by emulation where there is
no KVM; then everything inside is an order of magnitude slower, so only what needs it is tested there.

    scripts/vm build                 make kernel and root image, once a recipe; prints their folder
    scripts/vm run [OPTIONS] -- COMMAND...
                                     boot, run as "dev", stream the output, exit with its status
    scripts/vm test [PYTEST ARGS]    run tests/vm in it

A command that leaves a line in $VM_OUT/again has the power cut, and the machine boots again from the same
disk to run that line: with `test`, and with `run --again`.

Exit status of run: the command's, the first that is not 0; 124 after VM_TIMEOUT; 125 when the machine gave no result.  Building
needs root, running does not.  Debian packages: qemu-system-x86 mmdebstrap squashfs-tools e2fsprogs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]
PARTS = Path(__file__).parent / "machine"
NO_RESULT = 125
# What python3 of a suite is: the packages of our virtual environment are used inside, too.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
# No udev on purpose, see vm-job.
PACKAGES = (
    *("systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "kmod", "iproute2"),
    *("iputils-ping", "procps", "python3", "uidmap", "fuse-overlayfs", "fuse3", "slirp4netns"),
    *("passt", "podman", "crun", "busybox-static", "netavark", "aardvark-dns", "nftables"),
    *("iptables", "catatonit", "ca-certificates"),
)


class Recipe(NamedTuple):
    """What the image is made from; another recipe is another image."""

    suite: str
    # Debian's cloud kernel has ext4, NVMe and the serial ports built in: it boots without an initrd.
    kernel: str
    disk: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where the image is or will be."""
        parts = b"".join(file.read_bytes() for file in sorted(PARTS.iterdir()))
        key = hashlib.sha256(repr(self).encode() + parts).hexdigest()[:16]
        return cache() / f"{self.suite}-{key}"


def cache() -> Path:
    """Root builds for everybody; ``VM_CACHE`` says otherwise."""
    return Path(os.environ.get("VM_CACHE") or "/var/cache/rootless-test/vm")


def recipe() -> Recipe:
    suite = os.environ.get("VM_SUITE") or SUITES.get(sys.version_info[:2], "bookworm")
    extra = os.environ.get("VM_PACKAGES", "").split()
    return Recipe(
        suite=suite,
        kernel=os.environ.get("VM_KERNEL", "linux-image-cloud-amd64"),
        disk=os.environ.get("VM_DISK", "8G"),
        packages=(*PACKAGES, *extra),
    )


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "build":
        print(build(recipe()))
    elif verb == "run":
        sys.exit(run(*parse_run(sys.argv[2:])))
    elif verb == "test":
        sys.exit(test(sys.argv[2:]))
    else:
        sys.exit(__doc__)


def build(wanted: Recipe) -> Path:
    """Make the image unless it is there; return its folder."""
    folder = wanted.folder
    if (folder / "root.ext4").exists():
        return folder
    need("mmdebstrap", "mmdebstrap")
    need("mke2fs", "e2fsprogs")
    if os.geteuid() != 0:
        fail("the image is not built yet, and building it needs root: sudo scripts/vm build")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder.parent) as scratch:
        out = Path(scratch, "image")
        out.mkdir(mode=0o755)
        command = [
            *("mmdebstrap", "--variant=essential", "--format=null", "--dpkgopt=force-unsafe-io"),
            *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--include={','.join(wanted.packages)}",
            f'--customize-hook={shlex.quote(str(PARTS / "setup"))} "$1" {shlex.quote(str(out))}',
            *(wanted.suite, "/dev/null"),
        ]
        environment = {
            **os.environ,
            "LC_ALL": "C",
            "VM_KERNEL": wanted.kernel,
            "VM_DISK": wanted.disk,
        }
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
        try:
            out.rename(folder)
        except OSError:  # somebody else was first, and theirs is as good
            if not (folder / "root.ext4").exists():
                raise
    return folder


class Job(NamedTuple):
    """What to run in the machine, and on which copies of host folders."""

    command: list[str]
    # (host folder, place in the machine): the first is the working folder.
    folders: list[tuple[Path, str]]
    results: Path | None = None
    # Whether the disk is kept for a second boot, in which the line in $VM_OUT/again is run.
    again: bool = False


def parse_run(arguments: list[str]) -> tuple[Recipe, Job]:
    parser = argparse.ArgumentParser(prog="scripts/vm run")
    parser.add_argument("-C", dest="folder", default=".", help="seen as /src, the working folder")
    parser.add_argument("-v", dest="more", action="append", default=[], metavar="DIR:/GUEST")
    parser.add_argument("-o", dest="results", type=Path, help="where $VM_OUT and console.log go")
    parser.add_argument("--again", action="store_true", help="boot again, see above")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    pairs = [each.rpartition(":") for each in options.more]
    folders = [(Path(options.folder), "/src"), *((Path(host), guest) for host, _, guest in pairs)]
    return recipe(), Job(options.command, folders, options.results, options.again)


def run(wanted: Recipe, job: Job) -> int:
    """Boot the machine, run the job, return its exit status."""
    need(os.environ.get("VM_QEMU", "qemu-system-x86_64"), "qemu-system-x86")
    need("mksquashfs", "squashfs-tools")
    image = build(wanted)
    with tempfile.TemporaryDirectory(
        prefix="vm-", dir=os.environ.get("TMPDIR", "/var/tmp")
    ) as path:
        scratch = Path(path)
        root = keep_disk(image, scratch) if job.again else None
        folders = make_folders(scratch, job)
        status, again = boot(scratch, image, folders, job, root)
        if again:
            job = job._replace(command=["sh", "-c", again], again=False)
            second, _ = boot(scratch, image, folders, job, root)
            status = status or second
        return status


def keep_disk(image: Path, scratch: Path) -> Path:
    """A copy of the root file system that is there at the next boot, too."""
    disk = scratch / "root.ext4"
    copy = ["cp", "--sparse=always", "--reflink=auto", str(image / "root.ext4"), str(disk)]
    subprocess.run(copy, check=True)
    return disk


def boot(
    scratch: Path, image: Path, folders: list[Path], job: Job, root: Path | None
) -> tuple[int, str]:
    """Run the job; its exit status, and the line that is to be run after another boot."""
    exchange = make_exchange(scratch, job)
    console = scratch / "console.log"
    qemu = os.environ.get("VM_QEMU", "qemu-system-x86_64")
    command = [qemu, *machine_options(image, console, [exchange, *folders], root)]
    limit = float(os.environ.get("VM_TIMEOUT", "1800"))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(scratch)},
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"vm: no end after {limit:.0f} s", file=sys.stderr)
        return 124, ""
    return collect(scratch, exchange, job, f"qemu ended with {done.returncode}")


def make_exchange(scratch: Path, job: Job) -> Path:
    """The disk that carries a tar of the command in, and a tar of the results out."""
    (scratch / "command").write_text(shlex.join(job.command) + "\n", encoding="utf-8")
    (scratch / "mounts").write_text(
        "".join(f"{guest}\n" for _, guest in job.folders), encoding="utf-8"
    )
    disk = scratch / "exchange"
    with tarfile.open(disk, "w") as archive:
        for name in ("command", "mounts"):
            archive.add(scratch / name, arcname=name)
    os.truncate(disk, 1 << 30)  # sparse: room for the results
    return disk


def make_folders(scratch: Path, job: Job) -> list[Path]:
    """One uncompressed squashfs a folder: made in a second, cannot change under the job, and needs
    neither a daemon (virtiofs) nor a module that the cloud kernel lacks (9p).
    """
    disks = []
    for number, (folder, _) in enumerate(job.folders):
        disk = scratch / f"folder{number}"
        command = ["mksquashfs", str(folder), str(disk), "-quiet", "-no-progress"]
        command += ["-noI", "-noD", "-noF", "-noX", "-force-uid", "1000", "-force-gid", "1000"]
        command += ["-wildcards", "-e", "... __pycache__", ".git", ".venv"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        disks.append(disk)
    return disks


def accelerators() -> list[str]:
    """KVM where the processor has it.

    /dev/kvm alone proves nothing: a paravirtual one runs only kernels made for it, and hangs others.
    With two accelerators QEMU takes the first that starts.
    """
    wish = os.environ.get("VM_ACCEL", "auto")
    if wish != "auto":
        return ["-accel", wish]
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return [*(("-accel", "kvm") if {"vmx", "svm"} & set(flags) else ()), "-accel", "tcg"]


def machine_options(image: Path, console: Path, disks: list[Path], root: Path | None) -> list[str]:
    """QEMU's command line.  The root is NVMe, because that driver is built in; it is the only NVMe,
    because newer kernels name several in any order.  The others are virtio, told apart by serial.
    """
    disk = f"cache=unsafe,file={root}" if root else f"file={image}/root.ext4,snapshot=on"
    cpus = os.environ.get("VM_CPUS") or str(min(os.cpu_count() or 1, 4))
    options = [
        *accelerators(),
        *("-cpu", "max", "-M", "q35", "-m", os.environ.get("VM_MEM", "2G"), "-smp", cpus),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{console}", "-serial", "stdio"),
        *("-kernel", str(image / "vmlinuz"), "-append"),
        "root=/dev/nvme0n1 rw rootwait console=ttyS0 panic=-1 mitigations=off init_on_alloc=0",
        *("-drive", f"if=none,id=d1,format=raw,{disk}"),
        *("-device", "nvme,drive=d1,serial=d1"),
    ]
    for number, disk in enumerate(disks, start=2):
        options += ["-drive", f"if=none,id=d{number},format=raw,cache=unsafe,file={disk}"]
        options += ["-device", f"virtio-blk-pci,drive=d{number},serial=d{number}"]
    return options


def collect(scratch: Path, exchange: Path, job: Job, ended: str) -> tuple[int, str]:
    """Read the results off the exchange disk; the job's exit status, and what is to be run again."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    # tar and not tarfile: Debian 12's has no filter that keeps members inside.
    untar = ["tar", "-x", "--no-same-owner", "-f", str(exchange), "-C", str(out)]
    subprocess.run(untar, check=False)
    console = scratch / "console.log"
    if job.results:
        shutil.copytree(out, job.results, dirs_exist_ok=True)
        shutil.copy(console, job.results)
    status = out / "status"
    if not status.exists():
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join([*lines[-100:], f"vm: no result ({ended})"]), file=sys.stderr)
        return NO_RESULT, ""
    again = out / "again"
    line = again.read_text(encoding="utf-8") if job.again and again.exists() else ""
    return int(status.read_text(encoding="ascii")), line


def test(arguments: list[str]) -> int:
    """Run tests/vm inside, with the packages of the running virtual environment."""
    wanted = recipe()
    if SUITES.get(sys.version_info[:2]) != wanted.suite:
        fail(f"the Python of {wanted.suite} is not the one that runs this; set VM_SUITE")
    packages = Path(sys.prefix, "lib", f"python3.{sys.version_info[1]}", "site-packages")
    command = [
        *("env", "PYTHONPATH=/deps:/src", "PYTHONDONTWRITEBYTECODE=1", "ROOTLESS_TEST_MACHINE=1"),
        f"ROOTLESS_TEST_REQUIRE={os.environ.get('ROOTLESS_TEST_REQUIRE', '')}",
        *("python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rsf", "--durations=5"),
        *(arguments or ["tests/vm"]),
    ]
    folders = [(CHECKOUT, "/src"), (packages, "/deps")]
    return run(wanted, Job(command, folders, again=True))


def need(program: str, package: str) -> None:
    if not shutil.which(program):
        fail(f"{program} is missing: apt-get install {package}")


def fail(message: str) -> None:
    print(f"vm: {message}", file=sys.stderr)
    sys.exit(NO_RESULT)


if __name__ == "__main__":
    main()
