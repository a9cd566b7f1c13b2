"""Engine: the stores and drivers of one user on one host.  Every front end calls only this package."""

from __future__ import annotations

import os

from rootless.errors import StoreFailed
from rootless.events import Notice
from rootless.lean import cached_property
from rootless.paths import discover, private_directory
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rootless.events import Report
    from rootless.host import HostFacts
    from rootless.image.layout import Layout
    from rootless.paths import Paths
    from rootless.storage.driver import Driver
    from rootless.storage.layers import Layers
    from rootless.userns.idmap import IdMap

LAYOUT_VERSION = b"1\n"


class Engine:
    """Opened once per process; what is not used is never loaded."""

    def __init__(self, paths: Paths, host: HostFacts):
        self.paths = paths
        self.host = host
        # What a list had to leave out, each with its remedy: for whoever shows the list.
        self.damaged: list[StoreFailed] = []

    @classmethod
    def open(cls) -> Engine:
        """The engine of the calling user, its directories made and checked.

        Raises StoreFailed when they cannot be used, or belong to a newer rootless.
        """
        from rootless.host import HostFacts

        paths = discover()
        for root in (paths.data, paths.cache, paths.run):
            private_directory(root)
        _check_layout(paths)
        return cls(paths, HostFacts(paths))

    @property
    def id_map(self) -> IdMap:
        """The id map of the store: what the owners of unpacked layers mean."""
        return self.host.id_map

    @cached_property
    def driver(self) -> Driver:
        """The storage driver for new containers."""
        from rootless.storage.choice import pick_driver

        return pick_driver(self.host, self.paths, self.id_map)

    @cached_property
    def layout(self) -> Layout:
        """The images."""
        from rootless.image.layout import Layout

        path = f"{self.paths.config}/config.toml"
        if not os.path.exists(path):
            return Layout(self.paths.images)
        from rootless.engine.additional_stores import additional_layouts

        return Layout(self.paths.images, additional_layouts(path, self.paths.images))

    @cached_property
    def layers(self) -> Layers:
        """The unpacked layers in the form that ``driver`` stacks."""
        from rootless.storage.layers import Layers

        return Layers(self.paths, self.id_map, self.driver.form)

    def tell_loss(self, report: Report) -> None:
        """Say once a store what this host lacks, and what was taken instead."""
        from rootless.engine.tiers import LOST, losses

        new = [each for each in losses(self.host) if not os.path.exists(self._said(each.tier))]
        for why in dict.fromkeys(each.why for each in new):
            lost = "; ".join(LOST[each.tier] for each in new if each.why == why)
            report(Notice(f"{lost}: {why}", "warning"))
        for each in new:
            with open(self._said(each.tier), "w"):
                pass
        self.tell_store(report)

    def _said(self, what: str) -> str:
        return f"{self.paths.cache}/said-{what}"

    def tell_store(self, report: Report) -> None:
        """Say once what is wrong with the place of the store, before much lies there."""
        said = self._said("store")
        if not os.path.exists(said):
            from rootless.engine.doctor_store import network_store

            why = network_store(self.paths)
            if why:
                report(Notice(why, "warning"))
            with open(said, "w"):
                pass

    def use_store(self) -> AbstractContextManager[int]:
        """Hold off prune and migration while things are looked up and not yet referred to.

        Whoever comes first after a crash removes what it left.
        """
        from rootless import files

        if os.listdir(self.paths.scratch):
            from rootless.engine.sweep import sweep

            sweep(self)
        return files.lock(self.paths.store_lock, shared=True)


def _check_layout(paths: Paths) -> None:
    from rootless import files

    try:
        version = files.read_bytes(paths.layout_version)
    except FileNotFoundError:
        try:
            for directory in (paths.containers, paths.names, paths.scratch, paths.trash):
                os.makedirs(directory, mode=0o700, exist_ok=True)
            files.write_atomic(paths.layout_version, LAYOUT_VERSION)
        except OSError as error:
            raise StoreFailed(
                f"cannot write to {paths.data}: {error.strerror}",
                hint="free some space, or set ROOTLESS_HOME to a directory of yours",
            ) from None
        return
    except OSError as error:
        raise StoreFailed(f"cannot read {paths.layout_version}: {error.strerror}") from None
    if version != LAYOUT_VERSION:
        raise StoreFailed(
            f"{paths.data} has layout version {version.decode(errors='replace').strip()!r}",
            hint="it was written by a newer rootless; update this one",
        )
