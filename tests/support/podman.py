"""podman as a reader of our images, with a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

# What a fair comparison needs, as ``podman info`` prints it.
FORMAT = (
    '{{.Store.GraphDriverName}} {{index .Store.GraphStatus "Native Overlay Diff"}}'
    " {{.Host.OCIRuntime.Name}} {{.Store.GraphRoot}}"
)


def configuration(directory: str) -> dict[str, str]:
    """Write podman's settings below ``directory``; the environment that makes it use them.

    Debian's podman takes vfs unless told, and a rootless one ignores ``graphroot``: the store would
    be the one in the user's home, shared by all runs.
    """
    os.makedirs(directory, exist_ok=True)
    texts = {
        "storage": f'[storage]\ndriver = "overlay"\nrootless_storage_path = "{directory}/store"\n',
        "containers": (
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
        ),
    }
    for name, text in texts.items():
        with open(f"{directory}/{name}.conf", "w", encoding="utf-8") as file:
            file.write(text)
    return {
        "CONTAINERS_STORAGE_CONF": f"{directory}/storage.conf",
        "CONTAINERS_CONF": f"{directory}/containers.conf",
        "XDG_DATA_HOME": f"{directory}/data",
    }


def runtime_directory() -> str:
    """A new XDG_RUNTIME_DIR for podman or buildah.

    podman takes none of more than 50 bytes: it then waits 20 s in each command for a file that never
    comes, and puts its own into /tmp.
    """
    made = tempfile.mkdtemp(prefix="p")
    assert len(made) <= 50, f"too long for podman: {made}"
    return made


def unfair(shown: str, directory: str) -> str | None:
    """What of ``podman info --format FORMAT`` is not as configured; None when all is."""
    driver, native, runtime, root = (shown.split() + [""] * 4)[:4]
    if (driver, native, runtime) != ("overlay", "true", "crun"):
        return f"podman uses {driver} (native: {native}) and {runtime}, not native overlay and crun"
    return None if root.startswith(directory) else f"podman's store is {root}"


class Podman:
    """Runs podman with everything below ``directory``; a call returns standard output."""

    def __init__(self, directory: str):
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH")},
            "XDG_RUNTIME_DIR": runtime_directory(),
            **configuration(directory),
        }
        wrong = unfair(self("info", "--format", FORMAT), directory)
        assert wrong is None, wrong

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
        shutil.rmtree(self.environment["XDG_RUNTIME_DIR"], ignore_errors=True)
