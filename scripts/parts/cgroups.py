"""Run a command as an ordinary user inside a delegated cgroup v2, whatever the host's own view is.

Started by root in a mount namespace of its own, so that nothing here shows outside:

    unshare --mount --propagation private python3 cgroups.py UID GID -- COMMAND...

On a hybrid host (controllers on cgroup v1) the unified hierarchy is mounted over the view: freezer,
kill and events work there, limits do not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VIEW = Path("/sys/fs/cgroup")
# What a delegation means (cgroups(7)): the directory and these files belong to the user.
DELEGATED = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


def main() -> None:
    uid, gid = int(sys.argv[1]), int(sys.argv[2])
    command = sys.argv[sys.argv.index("--") + 1 :]
    show_interpreters()
    directory = delegate(uid, gid)
    status = subprocess.run(command, check=False).returncode
    if directory:
        remove(directory)
    sys.exit(status if status >= 0 else 128 - status)


def show_interpreters() -> None:
    """Let the user read root's pyenv interpreters, and nothing else of root's home."""
    versions = Path("/root/.pyenv/versions")
    if not versions.is_dir():
        return
    kept = Path("/run") / f"rootless-test-pyenv-{os.getpid()}"
    kept.mkdir()
    try:
        call("mount", "--rbind", str(versions), str(kept))
        call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/root")
        versions.mkdir(parents=True)
        call("mount", "--rbind", str(kept), str(versions))
        call("mount", "-o", "remount,ro", "/root")
        call("umount", "--lazy", str(kept))
    except subprocess.CalledProcessError as error:
        print(f"interpreters of root's pyenv are not tested: {error}", file=sys.stderr)
    finally:
        kept.rmdir()


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def delegate(uid: int, gid: int) -> Path | None:
    """Make a cgroup that belongs to the user and move into it; None when that cannot be had."""
    try:
        if not (VIEW / "cgroup.controllers").exists():
            call("umount", "--lazy", "--recursive", str(VIEW))
            call("mount", "-t", "cgroup2", "cgroup2", str(VIEW))
        directory = VIEW / f"rootless-test-{os.getpid()}"
        directory.mkdir()
        # The tests run in a leaf: a cgroup with processes cannot give its children controllers.
        leaf = directory / "tests"
        leaf.mkdir()
        for owned in (directory, leaf):
            os.chown(owned, uid, gid)
            for name in DELEGATED:
                os.chown(owned / name, uid, gid)
        (leaf / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no delegated cgroup v2 for the tests: {error}", file=sys.stderr)
        return None
    return directory


def remove(directory: Path) -> None:
    """Leave the cgroup, end whatever still runs in it, and remove it."""
    (VIEW / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    kill = directory / "cgroup.kill"
    if kill.exists():
        kill.write_text("1", encoding="ascii")
    for path, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(path)
        except OSError as error:
            print(f"cgroup {path}: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    if not shutil.which("setpriv"):
        sys.exit("setpriv is missing (Debian: util-linux)")
    main()
