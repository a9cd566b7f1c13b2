"""A buildah that is newer than the host's: Debian's next one with its own libraries, made once and kept.

The host stays as it is.  The program is pointed at its own loader and libraries, because it starts
itself anew, which it could not do through a loader on the command line.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import subprocess
import tarfile
import tempfile

from tests.support.images import CACHE

SUITE = "forky"
_MIRROR = "http://deb.debian.org/debian"
_TOOLS = ("mmdebstrap", "patchelf")


def buildah() -> str:
    """The path of the program; RuntimeError says why there is none."""
    place = f"{CACHE}/buildah-{SUITE}"
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{place}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(place):
            _make(place)
    return f"{place}/buildah"


def _make(place: str) -> None:
    """Half a minute and 80 MB of packages; nothing of them is installed."""
    missing = [name for name in _TOOLS if not shutil.which(name)]
    if missing:
        raise RuntimeError(f"no program {missing[0]}")
    # mmdebstrap works there as a subordinate id, which may not enter a private TMPDIR.
    with tempfile.TemporaryDirectory(prefix="buildah-", dir="/var/tmp") as scratch:
        os.chmod(scratch, 0o755)
        made = f"{scratch}/made"
        _run(
            *("mmdebstrap", "--quiet", "--variant=extract", "--include=buildah", "--format=tar"),
            # A mirror that lags is good enough for a program to compare with.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *("--aptopt=Acquire::Languages none", SUITE, f"{scratch}/root.tar", _MIRROR),
        )
        _take(f"{scratch}/root.tar", made)
        # It looks for one before it does anything; without networks it never starts it.
        with open(f"{made}/netavark", "x", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 1\n")
            os.fchmod(file.fileno(), 0o755)
        _point(f"{made}/buildah", f"{place}/lib", _loader(made))
        shutil.copytree(made, f"{place}.part", symlinks=True, dirs_exist_ok=True)
    os.rename(f"{place}.part", place)
    _run(f"{place}/buildah", "--version")


def _take(archive: str, target: str) -> None:
    """The program, and every library that stands beside it."""
    os.makedirs(f"{target}/lib")
    with tarfile.open(archive) as packed:
        # Python 3.11.2 has no filters yet, and 3.14 takes another one unless told.
        packed.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
        for entry in packed:
            directory, name = os.path.split(entry.name.removeprefix("./"))
            if (directory, name) == ("usr/bin", "buildah"):
                entry.name = name
            elif directory.startswith("usr/lib/") and directory.endswith("-linux-gnu"):
                entry.name = f"lib/{name}"
            else:
                continue
            if entry.isfile() or entry.issym():
                packed.extract(entry, target)


def _loader(made: str) -> str:
    found = glob.glob(f"{made}/lib/ld-linux*.so.*")
    if len(found) != 1:
        raise RuntimeError(f"no loader among the libraries of {SUITE}")
    return os.path.basename(found[0])


def _point(program: str, libraries: str, loader: str) -> None:
    _run(
        *("patchelf", "--set-interpreter", f"{libraries}/{loader}"),
        *("--force-rpath", "--set-rpath", libraries, program),
    )


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": "/var/tmp"},
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stderr.strip()[-500:] or done.returncode}")
