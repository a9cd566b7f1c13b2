"""Real images in a real registry, made when first asked for and once a run.

busybox comes from the host's static binary, Debian from mmdebstrap (kept between runs below the
user's cache); skopeo pushes them, so that what we read was written by others.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

from tests.support import oci
from tests.support.capabilities import static_busybox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.registry import Registry

PASSWD = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nuser:x:1000:1000::/home/user:/bin/sh\n"
GROUP = "root:x:0:\ndaemon:x:1:\nwheel:x:10:user\nuser:x:1000:\n"
SHELL_CONFIG: oci.Document = {
    "Cmd": ["sh"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}
CACHE = os.environ.get("ROOTLESS_TEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rootless-tests"
)


def busybox_layer(name: str = "busybox") -> bytes:
    """A root file system of one static program and a link for each thing it can do."""
    binary = static_busybox()
    assert binary, "no static busybox"
    with open(binary, "rb") as file:
        content = file.read()
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout
    directories = ("bin", "etc", "home", "home/user", "root", "usr", "usr/bin", "var", "var/tmp")
    return oci.tar_of(
        *(oci.directory(each) for each in directories),
        oci.directory("tmp", 0o1777),
        oci.Entry("bin/busybox", content, mode=0o755),
        *(
            oci.symlink(f"bin/{applet}", "busybox")
            for applet in listed.split()
            if applet != "busybox"
        ),
        oci.Entry("etc/passwd", PASSWD.encode()),
        oci.Entry("etc/group", GROUP.encode()),
        oci.Entry("etc/os-release", f'ID={name}\nPRETTY_NAME="{name} for tests"\n'.encode()),
    )


def busybox_rootfs(path: str) -> str:
    """The same unpacked at ``path``, all of it the caller's own: for what needs no image."""
    os.makedirs(path, exist_ok=True)
    untar = ["tar", "--extract", "--no-same-owner", "--directory", path]
    subprocess.run(untar, input=busybox_layer(), check=True)
    return path


class Images:
    """References to images in ``registry``; what they are made from lies in ``directory``."""

    def __init__(self, registry: Registry, directory: str):
        self.registry = registry
        self.directory = directory
        self._served: set[str] = set()
        os.makedirs(directory, exist_ok=True)

    @property
    def busybox(self) -> str:
        """OCI manifest, one gzip layer."""
        return self.serve("busybox:latest", self._busybox, "--format", "oci")

    @property
    def busybox_zstd(self) -> str:
        """OCI manifest, one zstd layer."""
        return self.serve("busybox:zstd", lambda path: self._busybox(path, compression="zstd"))

    @property
    def busybox_docker(self) -> str:
        """Docker's manifest, version 2 schema 2."""
        return self.serve("busybox:docker", self._busybox, "--format", "v2s2")

    @property
    def busybox_index(self) -> str:
        """An image index: this machine's architecture and a foreign one."""
        return self.serve("busybox:index", self._index, "--all")

    @property
    def foreign(self) -> str:
        """An image for another architecture only."""
        other = "arm64" if oci.host_architecture() == "amd64" else "amd64"
        return self.serve("busybox:foreign", lambda path: self._busybox(path, architecture=other))

    @property
    def layered(self) -> str:
        """Three layers: a later one removes a file, hides a directory, and links to an older file."""
        return self.serve("layered:latest", _layered)

    @property
    def alpine(self) -> str:
        """What docker.io/library/alpine:latest is under ``registries_conf``."""
        return self.serve("library/alpine:latest", lambda path: self._busybox(path, name="alpine"))

    @property
    def debian(self) -> str:
        """Debian's minbase variant, about 130 MB unpacked, gzip."""
        return self.serve("debian:latest", _debian)

    @property
    def debian_zstd(self) -> str:
        return self.serve("debian:zstd", _debian, "--dest-compress-format", "zstd")

    def push(self, layout: oci.Layout, descriptor: oci.Document, name: str, *options: str) -> str:
        """Push an image of a layout to the registry under ``name``; its reference."""
        layout.tag("pushed", descriptor)
        reference = f"{self.registry.address}/{name}"
        _skopeo_copy(f"oci:{layout.path}:pushed", reference, *options)
        return reference

    def registries_conf(self, path: str) -> str:
        """Write a registries.conf in which docker.io/library is a mirror on our registry."""
        address = self.registry.address
        text = (
            'unqualified-search-registries = ["docker.io"]\n'
            '[[registry]]\nprefix = "docker.io/library"\nlocation = "docker.io/library"\n'
            f'[[registry.mirror]]\nlocation = "{address}/library"\ninsecure = true\n'
            f'[[registry]]\nlocation = "{address}"\ninsecure = true\n'
        )
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def serve(self, name: str, make: Callable[[str], str], *options: str) -> str:
        """The reference of an image, made and pushed unless an earlier test did."""
        reference = f"{self.registry.address}/{name}"
        if name not in self._served:
            place = f"{self.directory}/{name.replace('/', '_').replace(':', '_')}"
            _skopeo_copy(make(place), reference, *options)
            self._served.add(name)
        return reference

    @staticmethod
    def _busybox(
        path: str, *, name: str = "busybox", compression: str = "gzip", architecture: str = ""
    ) -> str:
        layout = oci.Layout(path)
        descriptor = layout.image(
            busybox_layer(name),
            config=SHELL_CONFIG,
            compression=compression,
            architecture=architecture or oci.host_architecture(),
        )
        layout.tag("image", descriptor)
        return f"oci:{path}:image"

    @staticmethod
    def _index(path: str) -> str:
        layout = oci.Layout(path)
        native = oci.host_architecture()
        foreign = "arm64" if native == "amd64" else "amd64"
        layer = busybox_layer()
        other = oci.tar_of(oci.Entry("foreign", b"not for this machine\n"))
        index = layout.index(
            layout.image(other, config=SHELL_CONFIG, architecture=foreign),
            layout.image(layer, config=SHELL_CONFIG, architecture=native),
        )
        layout.tag("image", index)
        return f"oci:{path}:image"


def _skopeo_copy(source: str, reference: str, *options: str) -> None:
    command = [
        "skopeo",
        "copy",
        "--quiet",
        "--insecure-policy",
        "--dest-tls-verify=false",
        *options,
    ]
    done = subprocess.run(
        [*command, source, f"docker://{reference}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"skopeo copy {source}: {done.stderr}"


def _layered(path: str) -> str:
    layout = oci.Layout(path)
    first = (
        oci.directory("data"),
        oci.Entry("data/removed", b"old\n"),
        oci.Entry("data/kept", b"kept\n"),
        oci.directory("hidden"),
        oci.Entry("hidden/old", b"old\n"),
        oci.Entry("owned", b"owned\n", uid=1000, gid=1000, mode=0o640),
        oci.Entry("attributes", b"x\n", xattrs=(("user.colour", "blue"),)),
        oci.Entry("setuid", b"#!/bin/sh\n", mode=0o4755),
    )
    second = (
        oci.whiteout("data/removed"),
        oci.Entry("hidden/.wh..wh..opq"),
        oci.Entry("hidden/new", b"new\n"),
        oci.Entry("data/original", b"linked\n"),
        oci.hardlink("data/link", "data/original"),
    )
    descriptor = layout.image(
        busybox_layer(), oci.tar_of(*first), oci.tar_of(*second), config=SHELL_CONFIG
    )
    layout.tag("image", descriptor)
    return f"oci:{path}:image"


def debian_archive() -> str:
    """The root file system of Debian as a tar, made once and kept in the user's cache."""
    archive = f"{CACHE}/debian-minbase.tar"
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{archive}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(archive):
            _make_debian(archive)
    return archive


def _debian(path: str) -> str:
    """An OCI layout of Debian."""
    with open(debian_archive(), "rb") as file:
        layer = file.read()
    layout = oci.Layout(path)
    config: oci.Document = {**SHELL_CONFIG, "Cmd": ["bash"]}
    layout.tag("image", layout.image(layer, config=config, compression="none"))
    return f"oci:{path}:image"


def _make_debian(archive: str) -> None:
    suite = "stable"
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VERSION_CODENAME="):
                suite = line.strip().partition("=")[2].strip('"')
    command = [
        *("mmdebstrap", "--quiet", "--mode=unshare", "--variant=minbase", "--format=tar"),
        *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
        "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/*.bin",
    ]
    done = subprocess.run(
        [*command, suite, f"{archive}.part"],
        capture_output=True,
        text=True,
        # It works there as a subordinate id, which may not enter a private TMPDIR.
        env={**os.environ, "TMPDIR": "/var/tmp"},
        check=False,
    )
    assert done.returncode == 0, f"mmdebstrap: {done.stderr}"
    os.rename(f"{archive}.part", archive)
