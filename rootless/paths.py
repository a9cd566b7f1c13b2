"""Every path on disk.  Nothing else joins these directories' names.

Paths are absolute ``str``: they go straight into system calls.
"""

from __future__ import annotations

import os

from rootless.errors import StoreFailed
from rootless.typed import NamedTuple


class Paths(NamedTuple):
    """The roots of one user's files (docs/state.md says what each holds)."""

    data: str
    cache: str
    run: str
    config: str

    @property
    def layout_version(self) -> str:
        return f"{self.data}/layout-version"

    @property
    def store_lock(self) -> str:
        """Held shared while the store is used, exclusively while it is pruned or migrated."""
        return f"{self.data}/store.lock"

    @property
    def images(self) -> str:
        """The OCI image layout."""
        return f"{self.data}/images"

    @property
    def layers(self) -> str:
        return f"{self.data}/layers"

    def layer(self, form: str, chain_id: str) -> str:
        """One unpacked layer; ``form`` says how whiteouts and owners are written (storage.driver)."""
        return f"{self.data}/layers/{form}/{chain_id.partition(':')[2]}"

    @property
    def containers(self) -> str:
        return f"{self.data}/containers"

    def container(self, container_id: str) -> str:
        """The bundle of a container."""
        return f"{self.data}/containers/{container_id}"

    @property
    def names(self) -> str:
        return f"{self.data}/names"

    @property
    def volumes(self) -> str:
        return f"{self.data}/volumes"

    @property
    def volumes_lock(self) -> str:
        """Held shared while a container with volumes comes into being, exclusively to remove volumes."""
        return f"{self.data}/volumes.lock"

    @property
    def networks(self) -> str:
        return f"{self.data}/networks"

    @property
    def secrets(self) -> str:
        return f"{self.data}/secrets"

    @property
    def journal(self) -> str:
        """What happened; ``events`` shows it."""
        return f"{self.data}/events/journal"

    @property
    def scratch(self) -> str:
        """Everything unfinished; on the same file system as the rest of the data."""
        return f"{self.data}/scratch"

    @property
    def trash(self) -> str:
        """Deleting is renaming to here, then removing."""
        return f"{self.data}/trash"

    @property
    def steps(self) -> str:
        """Build cache: one record a step key."""
        return f"{self.cache}/steps"

    @property
    def mounts(self) -> str:
        """``RUN --mount=type=cache`` directories."""
        return f"{self.cache}/mounts"

    @property
    def downloads(self) -> str:
        """Blobs that are not complete yet."""
        return f"{self.cache}/downloads"

    @property
    def compressed(self) -> str:
        """Layers in another compression than the stored one, for pushing."""
        return f"{self.cache}/compressed"

    @property
    def seccomp(self) -> str:
        """Compiled filters by the digest of what they were compiled from."""
        return f"{self.cache}/seccomp"

    def running(self, container_id: str) -> str:
        """The run-time state of a container: lock, sockets, FIFO."""
        return f"{self.run}/containers/{container_id}"


def discover() -> Paths:
    """The roots for the calling user.

    ``ROOTLESS_HOME`` puts all of them under one directory; else the XDG directories hold them.
    Raises StoreFailed when a shared place would have to be trusted (see ``private_directory``).
    """
    home = os.environ.get("ROOTLESS_HOME")
    if home:
        home = os.path.abspath(home)
        return Paths(f"{home}/data", f"{home}/cache", f"{home}/run", f"{home}/config")
    data, cache, config = _plain_directories() or _platform_directories()
    return Paths(data=data, cache=cache, run=_runtime_directory(), config=config)


def _plain_directories() -> tuple[str, str, str] | None:
    """What platformdirs would say, without the 5 ms of importing it; None where it must be asked."""
    home = os.environ.get("HOME", "")
    bases = (
        os.environ.get("XDG_DATA_HOME") or f"{home}/.local/share",
        os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache",
        os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config",
    )
    if not home or any(_untidy(base) for base in bases):
        return None  # unset, relative, or with something to tidy up
    data, cache, config = (f"{base}/rootless" for base in bases)
    return data, cache, config


def _untidy(path: str) -> bool:
    return path[:1] != "/" or path[:2] == "//" or path != os.path.normpath(path)


def _platform_directories() -> tuple[str, str, str]:
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("rootless", appauthor=False)
    return dirs.user_data_dir, dirs.user_cache_dir, dirs.user_config_dir


def _runtime_directory() -> str:
    # platformdirs warns and falls back to a shared name in /tmp; a name that holds the uid and a
    # check of the owner are what make such a place safe.
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return f"{runtime}/rootless"
    return f"/tmp/rootless-{os.getuid()}"


def private_directory(path: str) -> str:
    """Make ``path`` with mode 0700, or check that it is the caller's own; return it.

    One that others may look into is closed to them.  Raises StoreFailed for a symbolic link, a directory
    of somebody else, or one that others may write: who knows what they have left there.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise StoreFailed(
            f"cannot use {path}: {error.strerror}", hint="set ROOTLESS_HOME to a directory of yours"
        ) from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o170022 != 0o040000:
        raise StoreFailed(
            f"{path} is not a private directory of yours",
            hint=f"remove it, or chmod 700 {path}, or set ROOTLESS_HOME",
        )
    if status.st_mode & 0o077:
        os.chmod(path, 0o700)
    return path
