"""What building needs of the host and of the stores; the engine fills it in."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.cache import Cache, Record
    from rootless.build.context import Context
    from rootless.build.fingerprint import ContentDigests
    from rootless.build.steps import RunStep, Tree
    from rootless.image.digest import ChainID
    from rootless.image.layout import Layout
    from rootless.paths import Paths
    from rootless.rootfs import Rootfs
    from rootless.runtime.options import Mount
    from rootless.storage.driver import Driver
    from rootless.storage.layers import Layers
    from rootless.userns.idmap import IdMap


class Place(NamedTuple):
    """Where a RUN happens: its root filesystem, its mounts, and variables that are secrets.

    ``bundle`` is a directory of the step's own.
    """

    rootfs: Rootfs
    mounts: tuple[Mount, ...]
    env: tuple[str, ...]
    bundle: str


class Launcher(Protocol):
    """Runs the program of a RUN."""

    def run(self, step: RunStep, place: Place, stdio: tuple[int, int, int]) -> int:
        """Its exit code.  Raises LaunchFailed when it never ran."""
        ...

    def emulated_owner(self, step: RunStep, place: Place) -> tuple[int, int] | None:
        """Whose its new files are to be, where the program only believes to be that user."""
        ...

    def shell(self, step: RunStep, place: Place) -> None:
        """A shell for a person in the same place, on the caller's terminal."""
        ...


class Secret(NamedTuple):
    """Where the value of a build secret comes from: a file or a variable of the caller."""

    path: str = ""
    variable: str = ""


class Settings(NamedTuple):
    """What the caller wants of every step."""

    dockerfile: str = "Dockerfile"  # how errors call it
    timestamp: int | None = None
    limits: tuple[str, ...] = ()  # flags that the programs of RUN can notice
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    cache_namespace: str = ""
    compression: str = "gzip"
    secrets: Mapping[str, Secret] = {}
    ssh: Mapping[str, tuple[str, ...]] = {}
    on_error: str = "stop"


class Workshop(NamedTuple):
    """Stores, drivers and settings of one build.

    ``contexts`` are the build context and the named ones that are directories; ``chains`` are the layers
    of the images that the build reads.  ``scratch`` is the build's own directory.  ``fetch`` brings a blob
    from an imported cache and says whether it could.
    """

    paths: Paths
    id_map: IdMap
    driver: Driver
    layers: Layers
    layout: Layout
    cache: Cache
    launcher: Launcher
    contexts: Mapping[Tree, Context]
    chains: Mapping[Tree, tuple[ChainID, ...]]
    scratch: str
    digests: ContentDigests
    fetch: Callable[[Record], bool]
    settings: Settings = Settings()
