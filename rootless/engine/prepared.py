"""HOST SIDE: a container on disk made ready to be launched, the first time and again."""

from __future__ import annotations

from rootless.engine import connectivity
from rootless.engine.surroundings import emulation, kernel_facts, profile_of, seccomp_filter
from rootless.rootfs import Rootfs
from rootless.runtime.plan import LaunchPlan, plan_launch
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.network.backend import Backend, NetworkRequest
    from rootless.runtime.container import Container, Record
    from rootless.runtime.spec import Spec


class Prepared(NamedTuple):
    """A container on disk and the plan that would launch it now."""

    container: Container
    plan: LaunchPlan
    backend: Backend
    network: NetworkRequest
    alive: int = -1  # the descriptor that holds the container's lock, where it is held already


def plan_of(engine: Engine, record: Record, spec: Spec, *, bundle: str) -> LaunchPlan:
    """The launch of a container; planning is pure, so it is made anew from the bundle each time.

    ``bundle`` is where its files are now.
    """
    launch = record["launch"]
    rootfs = Rootfs(**launch["rootfs"])
    # JSON knows no tuples.
    rootfs = rootfs._replace(lower=tuple(rootfs.lower), options=tuple(rootfs.options))
    process = spec["process"]
    if launch.get("secrets"):  # in no document: they are added to what is executed only
        from rootless.engine.container_secrets import environment

        env = [*process["env"], *environment(launch["secrets"], bundle)]
        spec = {**spec, "process": {**process, "env": env}}
    other = None
    if launch.get("id_map"):
        from rootless.engine.user_namespaces import recorded

        other = recorded(record)
    return plan_launch(
        spec,
        rootfs,
        other or engine.id_map,
        kernel_facts(engine.host),
        filter=seccomp_filter(
            engine,
            profile=profile_of(record, bundle),
            capabilities=tuple(process["capabilities"]["bounding"]),
            terminal=process["terminal"],
        ),
        landlock=launch["landlock"],
        preserve_fds=launch["preserve_fds"],
        init=launch["init"],
        store_map=engine.id_map if other is not None else None,
        emulation=None
        if other
        else emulation(
            engine,
            tuple(process["capabilities"]["bounding"]),
            stat=bool(process["user"]["uid"]),
        ),
    )


def prepare(engine: Engine, container: Container) -> Prepared:
    """A stored container, ready to be launched again."""
    spec = container.spec()
    plan = plan_of(engine, container.record, spec, bundle=container.bundle)
    backend, request = connectivity.stored(engine, container.record)
    connectivity.write_texts(
        container.bundle,
        backend.addresses(request),
        hostname=spec.get("hostname") or container.id[:12],
        shares_host=not backend.new_namespace,
        settings=container.record["settings"],
    )
    return Prepared(
        container, connectivity.joined(engine, plan, backend, request), backend, request
    )
