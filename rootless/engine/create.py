"""Make a container: resolve its image, merge its options, write its bundle, claim its name."""

from __future__ import annotations

import os

from rootless import events, files
from rootless.engine import connectivity, isolation, tiers
from rootless.engine import options as merge
from rootless.engine.health import health_options
from rootless.engine.identity import ids_reserved, who_runs
from rootless.engine.names import random_name
from rootless.engine.prepared import Prepared, plan_of
from rootless.engine.surroundings import (
    ownership,
)
from rootless.engine.sweep import sweep_containers
from rootless.errors import Conflict, InvalidRequest, NotFound, StoreFailed
from rootless.lean import contextmanager
from rootless.runtime import container as store
from rootless.runtime.container import Container
from rootless.runtime.generate import generate
from rootless.runtime.journal import note_container
from rootless.runtime.options import Mount
from rootless.runtime.seccomp_cache import read_profile
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.engine import Engine
    from rootless.engine.mounts import Gathered
    from rootless.engine.requests import RunRequest
    from rootless.engine.user_namespaces import Chosen
    from rootless.events import Report
    from rootless.image.documents import ContainerConfig, Image
    from rootless.network.backend import Backend, NetworkRequest
    from rootless.network.members import Wish
    from rootless.rootfs import Rootfs
    from rootless.runtime.container import Record
    from rootless.runtime.options import ContainerOptions
    from rootless.runtime.spec import Spec
    from rootless.runtime.users import User
    from rootless.userns.idmap import IdMap


def resolve_image(engine: Engine, request: RunRequest, report: Report) -> Image:
    """The image, pulled when the policy says so, its layers unpacked.  Raises NotFound and others."""
    if request.pull in ("missing", "never"):
        try:
            image = engine.layout.resolve(request.image)
        except NotFound:
            if request.pull == "never":
                raise
        else:
            if request.platform is None and all(map(engine.layers.has, image.chain)):
                return image
    from rootless.engine.images import ensure
    from rootless.engine.registries import access_of

    return ensure(
        engine,
        request.image,
        policy=request.pull,
        platform=request.platform,
        report=report,
        access=access_of(request),
    )


def create(
    engine: Engine, request: RunRequest, report: Report = events.ignore, *, hold: bool = False
) -> Prepared:
    """Make the container that ``request`` describes; it exists completely or not at all.

    With ``hold`` its lock is held from the first moment: whoever finds it unlocked later knows that
    we were killed.

    Raises whatever makes it impossible before anything is written: NotFound, InvalidRequest,
    Unsupported, Conflict (the name), HostLacks.
    """
    merge.check_supported(request)
    if request.name is not None:
        store.check_name("container", request.name)
    if request.log_driver or request.log_opt:
        from rootless.engine.log_options import log_options

        log_options(request._asdict())
    if request.restart:
        _check_restart(request)
    sweep_containers(engine)
    engine.tell_loss(report)
    if request.require:
        tiers.demand(engine.host, request.require)
    with engine.use_store(), ids_reserved(engine, request):
        image = resolve_image(engine, request, report)
        with files.scratch(engine.paths.scratch, "container") as scratch:
            draft = Draft(engine, request, image, scratch)
            prepared = draft.prepare(report)
            if request.replace:  # before we hold on to volumes, which it may give up
                from rootless.engine.removal import remove_namesake

                remove_namesake(engine, draft.name)
            alive = prepared.container.hold()
            try:
                with draft.settled():
                    _publish(engine, request, prepared.container, scratch)
            except BaseException:
                prepared.container.let_go(alive)
                raise
        note_container(engine.paths, prepared.container.record, "create")
        if hold:
            return prepared._replace(alive=alive)
        prepared.container.let_go(alive)
        return prepared


class Draft:
    """A container in the making: what each part of it is made from."""

    def __init__(self, engine: Engine, request: RunRequest, image: Image, scratch: str):
        self.engine = engine
        self.request = request
        self.image = image
        self.scratch = scratch
        self.id = store.new_id()
        self.name = request.name or random_name()
        self.wishes: tuple[Wish, ...] = ()
        self.gathered: Gathered | None = None
        self.secrets: list[dict[str, Any]] = []
        self.other_map: IdMap | None = None
        self.bundle = engine.paths.container(self.id)
        if isolation.notifies(request):
            self.request = request._replace(env=(*request.env, isolation.NOTIFY_VARIABLE))
        self.config: ContainerConfig = image.config.get("config") or {}

    def prepare(self, report: Report) -> Prepared:
        """Write the bundle in scratch.  What is written down is where things will be."""
        engine, request = self.engine, self.request
        rootfs = engine.driver.rootfs(self.image.chain, self.scratch, volatile=request.rm)
        os.makedirs(f"{self.scratch}/rootfs", mode=0o755, exist_ok=True)
        user, remapped = who_runs(engine, request, self.config, rootfs)
        id_map = engine.id_map
        extra: tuple[Mount, ...] = ()
        if remapped is not None:
            from rootless.engine import user_namespaces

            id_map = remapped.id_map
            self.other_map = None if id_map == engine.id_map else id_map
            rootfs, extra = user_namespaces.prepare(
                engine,
                request,
                remapped,
                rootfs,
                places=(self.scratch, self.bundle),
                chain=self.image.chain,
            )
        asked = self.mounts(user, report)
        self.rootfs, self.owner = rootfs, (user.uid, user.gid)
        backend, network = self.network(report)
        chosen = isolation.namespaces(engine, request)
        if remapped is not None and remapped.join:
            chosen.setdefault("user", remapped.join)
        if not backend.new_namespace:
            chosen.setdefault("network", "host")
        isolation.check_hostname(request, chosen, engine.host.hostname_loss)
        options = merge.container_options(
            request,
            self.config,
            user=user,
            container_id=self.id,
            mounts=(
                *self.identity_mounts(backend, network),
                *extra,
                *isolation.time_zone(request),
                *isolation.notify_mounts(request, engine.paths.running(self.id)),
                *isolation.read_only_scratch(request),
                *asked,
                *self.secret_mounts(),
            ),
            namespaces=chosen,
        )
        if any(getattr(request, field) for field in merge.CONFINING):
            options = self.confined(options)
        spec = self.specify(options, id_map)
        record = self.record(options, backend.name)
        record["launch"] = self.launch(options, rootfs, network)
        self.describe(record, remapped, rootfs)
        store.write_spec(self.scratch, spec)
        store.write_record(self.scratch, record)
        container = Container(engine.paths, record)
        plan = connectivity.joined(
            engine, plan_of(engine, record, spec, bundle=self.scratch), backend, network
        )
        return Prepared(container, plan, backend, network)

    def specify(self, options: ContainerOptions, id_map: IdMap) -> Spec:
        place, sysctls = f"{self.bundle}/rootfs", self.engine.host.new_sysctls
        return generate(options, id_map, rootfs_path=place, new_sysctls=sysctls)

    def launch(
        self, options: ContainerOptions, rootfs: Rootfs, network: NetworkRequest
    ) -> dict[str, Any]:
        """What of a launch is not in the spec."""
        request = self.request
        return {
            "rootfs": self.moved(rootfs)._asdict(),
            "seccomp": options.seccomp,
            "landlock": options.landlock,
            "preserve_fds": options.preserve_fds,
            "notify": "container" if isolation.notifies(self.request) else "ignore",
            "init": options.init,
            "limits": _limits(request),
            "cgroup_parent": request.cgroup_parent,
            "cgroups": request.cgroups,
            "network": [network.mode, network.ports, network.options],
            "networks": [each._asdict() for each in self.wishes],
        }

    def describe(self, record: Record, remapped: Chosen | None, rootfs: Rootfs) -> None:
        """Put into the record what only some containers have."""
        if remapped is not None and remapped.id_map != self.engine.id_map:
            from rootless.engine import user_namespaces

            record["launch"]["id_map"] = user_namespaces.document(remapped)
            record["launch"]["userns"] = remapped.mode
            record["backends"]["storage"] = rootfs.driver
        health = health_options(self.request, self.config)
        if health is not None:
            record["health"] = health._asdict()
        self.note_mounts(record)

    def mounts(self, user: User, report: Report) -> tuple[Mount, ...]:
        """What was asked to be mounted; most containers have nothing."""
        request = self.request
        if not (
            request.volume
            or request.mount
            or request.tmpfs
            or request.volumes_from
            or self.config.get("Volumes")
        ):
            return ()
        from rootless.engine.mounts import Place, gather

        place = Place(user, self.scratch, self.bundle)
        self.gathered = gather(self.engine, request, self.config, place, report)
        return self.gathered.mounts

    def note_mounts(self, record: Record) -> None:
        """What ``inspect``, ``rm`` and the next start must know of mounts and secrets."""
        if self.secrets:
            record["launch"]["secrets"] = self.secrets
        if self.gathered is not None:
            record["mounts"] = list(self.gathered.documents)
            record["further_chain"] = list(self.gathered.chain)
            record["anonymous_volumes"] = [e.name for e in self.gathered.volumes if e.anonymous]

    def secret_mounts(self) -> tuple[Mount, ...]:
        """``--secret``: what is shown as files."""
        if not self.request.secret:
            return ()
        from rootless.engine.container_secrets import gather

        mounts, self.secrets = gather(self.engine, self.request.secret, self.scratch, self.bundle)
        return mounts

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Volumes are there and stay while the container comes into being."""
        if self.gathered is None:
            yield
            return
        from rootless.engine.mounts import settled

        with settled(
            self.engine, self.gathered, self.rootfs, owner=self.owner, id_map=self.other_map
        ):
            yield

    def network(self, report: Report) -> tuple[Backend, NetworkRequest]:
        """Which network it gets."""
        asked, self.wishes = connectivity.network_of(self.request, self.config)
        asked = connectivity.without_useless_ports(asked, report)
        network = connectivity.with_ports_chosen(asked)
        backend = connectivity.backend_of(
            self.engine,
            network,
            self.wishes,
            container=self.id,
            name=self.name,
            resolvers=self.request.dns,
            rate=self.request.network_rate,
        )
        connectivity.warn(backend, network, report)
        return backend, network

    def confined(self, options: ContainerOptions) -> ContainerOptions:
        """With what loosens or tightens it; a profile is copied, so that it cannot change later."""
        from rootless.engine.confinement import confine

        options = confine(options, self.request)
        if options.seccomp in ("default", "unconfined"):
            return options
        content = read_profile(options.seccomp)
        files.write_atomic(f"{self.scratch}/seccomp.json", content, durable=False)
        return options._replace(seccomp="seccomp.json")

    def record(self, options: ContainerOptions, backend: str) -> Record:
        """Our record, all but how it is launched."""
        request = self.request
        grace = request.stop_timeout
        return {
            "id": self.id,
            "name": self.name,
            "created": store.timestamp(),
            "image": self.image.reference or request.image,
            "image_id": self.image.image_id,
            "chain": list(self.image.chain),
            "args": list(options.args),
            "labels": merge.labels(request, self.config),
            "auto_remove": request.rm,
            "stop_signal": request.stop_signal or self.config.get("StopSignal") or "SIGTERM",
            "stop_timeout": 10.0 if grace is None else grace,
            "settings": _given(request),
            "backends": {
                "id_map": self.engine.id_map.writer,
                "ownership": ownership(self.engine),
                "storage": self.engine.driver.name,
                "network": backend,
                "tier": tiers.tier_of(tiers.losses(self.engine.host)),
            },
            "launch": {},
        }

    def identity_mounts(self, backend: Backend, network: NetworkRequest) -> tuple[Mount, ...]:
        """/etc/hosts, /etc/hostname and /etc/resolv.conf: files of the bundle, bound over the image's."""
        written = connectivity.write_texts(
            self.scratch,
            backend.addresses(network),
            hostname=self.request.hostname or self.id[:12],
            shares_host=not backend.new_namespace,
            settings=_given(self.request),
        )
        return tuple(
            Mount("bind", f"{self.bundle}/{name}", f"/etc/{name}", ("rbind", "rprivate"))
            for name in written
        )

    def moved(self, rootfs: Rootfs) -> Rootfs:
        """The same with the paths it will have."""

        def move(path: str) -> str:
            return (
                self.bundle + path[len(self.scratch) :]
                if path.startswith(f"{self.scratch}/")
                else path
            )

        return rootfs._replace(
            lower=tuple(map(move, rootfs.lower)),
            upper=move(rootfs.upper) if rootfs.upper else None,
            work=move(rootfs.work) if rootfs.work else None,
        )


def _check_restart(request: RunRequest) -> None:
    from rootless.runtime.restart import parse_policy

    if parse_policy(request.restart).name != "no" and request.rm:
        raise InvalidRequest(
            "--rm and --restart cannot be had together",
            hint="what removes itself at its end is not started again",
        )


def _limits(request: RunRequest) -> tuple[Any, ...]:
    """Imported only when there is one."""
    if not any(getattr(request, field) for field in merge.LIMITING):
        return ()
    from rootless.engine.limits import limits_of

    return limits_of(request)


def _given(request: RunRequest) -> dict[str, Any]:
    """The fields that differ from their defaults, which is what a person set."""
    usual = type(request)(image=request.image)
    return {
        field: value
        for field, value, default in zip(request._fields, request, usual, strict=True)
        if value != default or field == "image"
    }


def _publish(engine: Engine, request: RunRequest, container: Container, scratch: str) -> None:
    """Claim the name and move the bundle to its place: from here on the container exists."""
    store.claim_name(engine.paths, container.name, container.id)
    try:
        files.publish(scratch, container.bundle)
        if request.cidfile:
            _write_new(request.cidfile, container.id)
    except OSError as error:
        store.release_name(engine.paths, container.name, container.id)
        raise StoreFailed(f"cannot create {container.bundle}: {error.strerror}") from None
    except BaseException:
        files.remove_tree(container.bundle, missing_ok=True)
        store.release_name(engine.paths, container.name, container.id)
        raise


def _write_new(path: str, text: str) -> None:
    try:
        with open(path, "x") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{path} exists", hint="remove it: it names another container") from None
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None
