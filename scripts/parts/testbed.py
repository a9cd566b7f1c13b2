"""Prepare a machine, as root, for tests that run as an ordinary user.

Packages, the user with a subordinate range, the modes of two devices, and one virtual environment an
interpreter that the user may read.  Everything can be repeated; nothing of the host is reconfigured.
"""

from __future__ import annotations

import fcntl
import glob
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
USER = "rootless-test"
CACHE = Path("/var/cache/rootless-test")
# Name and number of the devices that containers need (Linux' list of device numbers).
DEVICES = {"/dev/fuse": (10, 229), "/dev/net/tun": (10, 200)}
PACKAGES = (
    *("uidmap", "fuse-overlayfs", "slirp4netns", "passt", "busybox-static", "docker-registry"),
    *("skopeo", "umoci", "podman", "buildah", "crun", "bubblewrap", "mmdebstrap", "hyperfine"),
    *("libseccomp2", "iproute2", "attr", "acl", "e2fsprogs", "util-linux", "procps", "openssl"),
    *("zsh", "fish", "bindfs"),
    "patchelf",  # a newer buildah to compare with (tests/support/newer_buildah.py)
)
# For scripts/vm, the throw-away machine.
MACHINE_PACKAGES = ("qemu-system-x86", "squashfs-tools")


def install_packages(names: tuple[str, ...]) -> None:
    """Install what is missing; on another distribution say what that is and go on."""
    missing = missing_packages(names)
    if not missing:
        return
    if not shutil.which("apt-get"):
        print(f"not Debian: install these yourself: {' '.join(missing)}", file=sys.stderr)
        return
    print(f"installing {' '.join(missing)}", flush=True)
    # Nothing that a package brings may start by itself; we start what we need.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*apt, "update"], env=environment, check=False)
    done = subprocess.run(
        [*apt, "install", "--yes", "--no-install-recommends", *missing],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        print("some packages could not be installed; see above", file=sys.stderr)


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Those of ``names`` that dpkg does not know as installed."""
    if not shutil.which("dpkg-query"):
        return list(names)
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *names]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {
        line.partition(" ")[2] for line in shown.splitlines() if line.startswith("installed ")
    }
    return [name for name in names if name not in installed]


def ensure_user() -> pwd.struct_passwd:
    """The ordinary user that runs the tests, with a range of subordinate ids."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
    for path, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        lines = Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []
        if not any(line.startswith(f"{USER}:") for line in lines):
            ranges = [line.split(":") for line in lines if line.count(":") == 2]
            first = max([100000, *(int(start) + int(count) for _, start, count in ranges)])
            subprocess.run(["usermod", option, f"{first}-{first + 65535}", USER], check=True)
    return pwd.getpwnam(USER)


@contextmanager
def alone() -> Iterator[None]:
    """One run at a time: two would count each other's processes and files as left behind, and a
    benchmark beside anything else measures the other one.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run as {USER} to end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fix_devices() -> None:
    """A bare machine has no udev to give these devices the mode that every distribution gives them."""
    for path, (major, minor) in DEVICES.items():
        try:
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            os.chmod(path, 0o666)
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)


def interpreters() -> list[str]:
    """The newest patch release of each CPython from 3.11 on; the running one first."""
    found = {sys.version_info[:2]: sys.executable}
    places = ("/usr/bin", "/usr/local/bin", os.path.expanduser("~/.pyenv/versions/3.*/bin"))
    for place in places:
        for path in sorted(glob.glob(f"{place}/python3.[0-9][0-9]"), key=_numbers, reverse=True):
            minor = int(path.rpartition(".")[2])
            if minor >= 11 and os.access(path, os.X_OK):
                found.setdefault((3, minor), path)
    return [found.pop(sys.version_info[:2]), *(found[version] for version in sorted(found))]


def _numbers(path: str) -> list[int]:
    return [int(part) for part in "".join(c if c.isdigit() else " " for c in path).split()]


def environment(
    python: str, directory: Path, groups: tuple[str, ...] = ("test",), *, name: str = "venv"
) -> Path:
    """The interpreter of a virtual environment made by ``python`` below ``directory``."""
    version = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    place = directory / f"{name}-{version}"
    command = [python, str(CHECKOUT / "scripts/parts/environment.py"), str(place)]
    for group in groups:
        command += ["--group", group]
    subprocess.run(command, check=True)
    return place / "bin" / "python"


def readable_checkout(user: pwd.struct_passwd) -> Path:
    """The checkout itself where the user may read it, else a copy."""
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    reads = ["setpriv", *ids, "test", "-r", str(CHECKOUT / "scripts/test")]
    if subprocess.run(reads, check=False).returncode == 0:
        return CHECKOUT
    copy = CACHE / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    ignore = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", ".*_cache")
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=ignore)
    subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
    return copy


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A folder for temporary files, removed at the end with all that is in it.

    Short, because names of sockets end at 108 bytes and podman refuses a runtime directory above 50;
    without underscores, because a path becomes the name of an image and may not end in one there.
    """
    place = Path("/var/tmp", f"rt-{secrets.token_hex(4)}")
    place.mkdir(mode=0o700)
    Path(place, "runtime").mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def run_as(
    user: pwd.struct_passwd, command: list[str], *, checkout: Path, passed_on: tuple[str, ...] = ()
) -> int:
    """Run a command as the user: clean environment, delegated cgroup, a folder for temporary files.

    The first word is the interpreter of a virtual environment; its programs come first on PATH.
    Everything that the command leaves in the folder is removed, whoever owns it.
    """
    with scratch_directory() as scratch:
        runtime = scratch / "runtime"
        for owned in (scratch, runtime):
            os.chown(owned, user.pw_uid, user.pw_gid)
        programs = f"{Path(command[0]).parent}:/usr/local/bin:/usr/bin:/bin"
        environment = [
            *(f"PATH={programs}:/usr/local/sbin:/usr/sbin:/sbin", f"XDG_RUNTIME_DIR={runtime}"),
            *(f"TMPDIR={scratch}", "ROOTLESS_TEST_DEDICATED_USER=1"),
            *(f"{name}={os.environ[name]}" for name in passed_on if name in os.environ),
        ]
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
        inside = ["setpriv", *ids, "--reset-env", "env", *environment, *command]
        private = ["unshare", "--mount", "--propagation", "private"]
        if subprocess.run([*private, "true"], check=False, capture_output=True).returncode:
            print("no mount namespace for root here: no delegated cgroup", file=sys.stderr)
            return subprocess.run(inside, check=False).returncode
        view = [sys.executable, str(checkout / "scripts/parts/cgroups.py")]
        view += [str(user.pw_uid), str(user.pw_gid), "--"]
        return subprocess.run([*private, *view, *inside], check=False).returncode
