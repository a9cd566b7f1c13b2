"""``info``: what was probed on this host and what was chosen, as one document."""

from __future__ import annotations

import os

from rootless import __version__
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine import Engine
    from rootless.host import HostFacts
    from rootless.userns.idmap import IdRange


def info(engine: Engine) -> dict[str, Any]:
    """Facts in podman's sections: host, store, registries, version.

    A probe that fails stands there with its reason: this is what people send with a question.
    """
    return {
        "version": _version(),
        "host": _host(engine),
        "store": _store(engine),
        "registries": _or_reason(lambda: _registries(engine)),
    }


def _or_reason(probe: Callable[[], Any]) -> Any:
    try:
        return probe()
    except RootlessError as error:
        return f"unknown: {error.message}"
    except OSError as error:
        return f"unknown: {error}"


def _version() -> dict[str, Any]:
    import sys

    return {"version": __version__, "python": sys.version.split(maxsplit=1)[0]}


def _host(engine: Engine) -> dict[str, Any]:
    from rootless.engine.surroundings import ownership
    from rootless.kernel import landlock
    from rootless.network.choice import pick_backend

    kernel, host = os.uname(), engine.host
    return {
        "os": kernel.sysname.lower(),
        "distribution": _distribution(),
        "kernel": kernel.release,
        "arch": kernel.machine,
        "hostname": kernel.nodename,
        "cpus": len(os.sched_getaffinity(0)),
        "memTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "user": {"name": host.user, "uid": host.uid, "gid": host.gid},
        "idMap": _or_reason(
            lambda: {
                "writer": engine.id_map.writer,
                "uidmap": _ranges(engine.id_map.uids),
                "gidmap": _ranges(engine.id_map.gids),
                "ownership": ownership(engine),
            }
        ),
        "network": {
            "private": _or_reason(lambda: pick_backend("private", host).name),
            "pasta": _or_reason(lambda: host.pasta),
            "slirp4netns": _or_reason(lambda: host.slirp4netns),
        },
        "cgroup": {"version": "v2" if host.cgroup2_mount else "v1", "mount": host.cgroup2_mount},
        "tier": _or_reason(lambda: _tier(host)),
        "security": {"landlockAbi": _or_reason(landlock.abi), "newProc": host.new_proc},
    }


def _tier(host: HostFacts) -> dict[str, Any]:
    from rootless.engine.tiers import losses, tier_of

    found = losses(host)
    return {"name": tier_of(found), "losses": [each._asdict() for each in found]}


def _ranges(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
    return [{"container_id": r.inside, "host_id": r.outside, "size": r.size} for r in ranges]


def _distribution() -> dict[str, str]:
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return {"distribution": "unknown", "version": "unknown"}
    return {
        "distribution": release.get("ID", "unknown"),
        "version": release.get("VERSION_ID", "unknown"),
    }


def _store(engine: Engine) -> dict[str, Any]:
    paths = engine.paths
    space = os.statvfs(paths.data)
    return {
        "driver": _or_reason(lambda: engine.driver.name),
        "nativeOverlay": _or_reason(lambda: engine.host.native_overlay),
        "fuseOverlayfs": engine.host.fuse_overlayfs,
        "data": paths.data,
        "cache": paths.cache,
        "run": paths.run,
        "config": paths.config,
        "size": space.f_blocks * space.f_frsize,
        "free": space.f_bavail * space.f_frsize,
        "containers": _or_reason(lambda: _containers(engine)),
        "images": _or_reason(lambda: len(engine.layout.entries())),
        "additionalImageStores": _or_reason(lambda: [each.path for each in engine.layout.others]),
    }


def _containers(engine: Engine) -> dict[str, int]:
    from rootless.runtime import container as store

    found = [container.status() for container in store.all_containers(engine.paths, engine.damaged)]
    running, paused = found.count("running"), found.count("paused")
    return {
        "number": len(found),
        "running": running,
        "paused": paused,
        "stopped": len(found) - running - paused,
    }


def _registries(engine: Engine) -> dict[str, Any]:
    from rootless.engine import registries

    configured = registries.load(engine)
    return {
        "search": list(configured.search or ()),
        "configured": [
            {"prefix": rule.prefix, "location": rule.location, "blocked": rule.blocked}
            for rule in configured.rules
        ],
    }
