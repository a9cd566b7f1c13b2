"""podman as a reader of our images, with a store of its own."""

from __future__ import annotations

import os
import subprocess


class Podman:
    """Runs podman with everything below ``directory``; a call returns standard output."""

    def __init__(self, directory: str):
        os.makedirs(directory, exist_ok=True)
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH")},
            "XDG_RUNTIME_DIR": f"{directory}/runtime",
            "CONTAINERS_STORAGE_CONF": f"{directory}/storage.conf",
            "CONTAINERS_CONF": f"{directory}/containers.conf",
        }
        os.makedirs(f"{directory}/runtime", mode=0o700, exist_ok=True)
        # Without the driver's name Debian's podman takes vfs.
        storage = (
            f'driver = "overlay"\ngraphroot = "{directory}/store"\nrunroot = "{directory}/run"\n'
        )
        engine = 'cgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
        for name, text in (("storage", storage), ("containers", engine)):
            with open(f"{directory}/{name}.conf", "w", encoding="utf-8") as file:
                file.write(f"[{'storage' if name == 'storage' else 'engine'}]\n{text}")

    def __call__(self, *argv: str, timeout_s: float = 120) -> str:
        done = subprocess.run(
            ["podman", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"podman {' '.join(argv)}: {done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """End the process that keeps podman's namespaces."""
        self("system", "migrate")
