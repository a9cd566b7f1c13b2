"""buildah as the builder to compare with, with a store of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support import trees
from tests.support.podman import configuration, runtime_directory

if TYPE_CHECKING:
    from tests.support.trees import Built


class Buildah:
    """Runs buildah with everything below ``directory``."""

    def __init__(self, directory: str, registries_conf: str, program: str = "buildah"):
        self.directory = directory
        self.program = program
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH")},
            "XDG_RUNTIME_DIR": runtime_directory(),
            "TMPDIR": f"{directory}/tmp",  # its cache mounts, too
            # Neither a container runtime nor cgroups are what is compared.
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_REGISTRIES_CONF": registries_conf,
            **configuration(directory),
        }
        os.mkdir(self.environment["TMPDIR"])
        if os.path.dirname(program):
            with open(f"{directory}/containers.conf", "a", encoding="utf-8") as file:
                file.write(f'helper_binaries_dir = ["{os.path.dirname(program)}"]\n')

    def __call__(self, *argv: str, timeout_s: float = 300) -> str:
        done = subprocess.run(
            [self.program, *argv],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"buildah {' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def stop(self) -> None:
        """Remove what buildah leaves outside its store: a few empty directories in /tmp, too."""
        shutil.rmtree(self.environment["XDG_RUNTIME_DIR"], ignore_errors=True)
        for name in ("podman-run", "containers-user", "storage-run"):
            for place, _, _ in os.walk(f"/tmp/{name}-{os.getuid()}", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(place)

    @property
    def version(self) -> tuple[int, ...]:
        """As numbers."""
        return tuple(int(each) for each in self("--version").split()[2].split(".")[:2])

    def build(self, context: str, file: str, *options: str) -> Built:
        """Build in docker's format, which has room for all of the configuration."""
        image = self("build", "-q", "--layers", "--format=docker", "-f", file, *options, context)
        target = f"{self.directory}/out-{image.splitlines()[-1][:12]}"
        self("push", "-q", image.splitlines()[-1], f"dir:{target}")
        with open(f"{target}/manifest.json", encoding="utf-8") as manifest:
            return trees.read(json.load(manifest), target)
