"""How a RUN is launched: the sandbox of ``run``, with the build's network, names and limits."""

from __future__ import annotations

import os

from rootless import files
from rootless.engine.confinement import confine
from rootless.engine.image_users import user_of
from rootless.engine.limits import limits_of
from rootless.engine.requests import RunRequest
from rootless.engine.surroundings import (
    cgroup_for,
    emulation,
    kernel_facts,
    ownership,
    seccomp_filter,
)
from rootless.errors import HostLacks, InvalidRequest, Unsupported
from rootless.events import Notice
from rootless.network import names
from rootless.network.backend import NetworkRequest
from rootless.network.choice import instead_of_private, pick_backend, split_mode
from rootless.runtime import sandbox, supervise
from rootless.runtime.options import CAPABILITIES, ContainerOptions, Mount
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.build.steps import RunStep
    from rootless.build.workshop import Place
    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.events import Report
    from rootless.network.backend import Backend, Link
    from rootless.runtime.cgroup import Cgroup

_LIMITS = (
    *("memory", "memory_swap", "cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus"),
    "cpuset_mems",
)
HOSTNAME = "buildkitsandbox"  # docker's; a build must not depend on where it runs


class BuildLauncher:
    """Launches the programs of one build (build.workshop.Launcher)."""

    def __init__(self, engine: Engine, request: BuildRequest, report: Report):
        self._engine = engine
        self._request = request
        self._report = report
        self._hostname = HOSTNAME
        for text in request.build_arg:
            name, _, value = text.partition("=")
            if name == "BUILDKIT_SANDBOX_HOSTNAME":
                self._hostname = value
        self._volumes = tuple(map(_volume, request.volume))
        asked = {name: getattr(request, name) for name in _LIMITS}
        self._limits = limits_of(RunRequest(image="", **asked))

    def check(self, steps: tuple[RunStep, ...]) -> None:
        """Before anything runs: what a step asks for must be possible.  Raises HostLacks and others."""
        for step in steps:
            if step.security == "insecure" and "security.insecure" not in self._request.allow:
                raise Unsupported(
                    "RUN --security=insecure must be allowed", hint="--allow security.insecure"
                )
        cgroup = self._cgroup() if steps else None
        if cgroup is not None:
            cgroup.remove()
        modes = {step.network for step in steps}
        for mode in modes:
            self._backend(mode)
        if ownership(self._engine) not in ("real", "recorded") and any(
            step.user not in ("", "0", "root") for step in steps
        ):
            self._report(Notice("only one id is available: every RUN is root inside", "warning"))
        if "default" in modes:
            self._warn_of_network()

    def _warn_of_network(self) -> None:
        backend, network = self._backend("default")
        instead = instead_of_private(backend) if network.mode == "private" else None
        if instead is not None:
            self._report(Notice(instead, "warning"))

    def run(self, step: RunStep, place: Place, stdio: tuple[int, int, int]) -> int:
        """The program's exit code."""
        return self._launch(step, place, stdio)

    def emulated_owner(self, step: RunStep, place: Place) -> tuple[int, int] | None:
        """Whose its new files are to be, where the program only believes to be that user."""
        if step.user in ("", "0", "root") or ownership(self._engine) != "recorded":
            return None
        user = user_of(step.user, place.rootfs, self._engine.id_map)
        return user.uid, user.gid

    def shell(self, step: RunStep, place: Place) -> None:
        """A shell on the caller's own streams."""
        import sys

        sys.stderr.write(
            f"\n{step.title} failed; this shell is where it ran. Its end ends the build.\n"
        )
        sys.stderr.flush()
        shell = step.args[0] if step.args[1:2] == ("-c",) else "/bin/sh"
        self._launch(step._replace(args=(shell,)), place, (0, 1, 2))

    def _launch(self, step: RunStep, place: Place, stdio: tuple[int, int, int]) -> int:
        backend, network = self._backend(step.network)
        options = self._options(step, place, backend, network)
        links: list[Link] = []

        def attach(pid: int) -> None:
            links.append(backend.start(pid, network._replace(directory=place.bundle)))
            links[0].wait()

        cgroup = self._cgroup()
        try:
            surroundings = self._surroundings(options)._replace(
                attach_network=attach, cgroup=cgroup
            )
            return sandbox.run(
                options, place.rootfs, surroundings, bundle=place.bundle, stdio=stdio
            )
        finally:
            for link in links:
                link.close()
            if cgroup is not None:
                cgroup.remove()
            supervise.reap()

    def _surroundings(self, options: ContainerOptions) -> sandbox.Surroundings:
        return sandbox.Surroundings(
            self._engine.id_map,
            kernel_facts(self._engine.host),
            seccomp_filter(
                self._engine,
                profile=options.seccomp,
                capabilities=options.capabilities,
                terminal=options.terminal,
            ),
            emulation(self._engine, options.capabilities, stat=True),
        )

    def _cgroup(self) -> Cgroup | None:
        """A cgroup for a RUN, when the build has limits.  Raises HostLacks where they cannot be had."""
        if not self._limits:
            return None
        try:
            return cgroup_for(self._engine, files.random_name(16), self._limits)
        except HostLacks as error:
            # The next best is for containers, which something watches all the time.
            error.hint = (error.hint or "").partition(", or --best-effort-limits")[0]
            raise

    def _backend(self, mode: str) -> tuple[Backend, NetworkRequest]:
        """The network that a step has: its own word, else the build's."""
        if mode == "default":
            mode = "" if self._request.network == "default" else self._request.network
        mode, options = split_mode(mode)
        return pick_backend(mode, self._engine.host), NetworkRequest(mode=mode, options=options)

    def _options(
        self, step: RunStep, place: Place, backend: Backend, network: NetworkRequest
    ) -> ContainerOptions:
        request = self._request
        user = user_of(step.user, place.rootfs, self._engine.id_map)
        if user.uid and ownership(self._engine) not in ("real", "recorded"):
            # There is no other id to be: the caller's files would be its files anyway.
            user = user._replace(uid=0, gid=0, groups=())
        variables = dict(
            each.partition("=")[::2] for each in (*step.hidden_env, *step.env, *place.env)
        )
        variables.setdefault("HOME", user.home)
        options = ContainerOptions(
            args=step.args,
            env=tuple(f"{name}={value}" for name, value in variables.items()),
            cwd=step.cwd,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            hostname=self._hostname,
            mounts=(*self._identity(place, backend, network), *self._volumes, *place.mounts),
            namespaces=self._shared(backend),
            capabilities=CAPABILITIES,
            shm_size_bytes=64 << 20 if request.shm_size is None else request.shm_size,
        )
        asked = RunRequest(
            image="",
            cap_add=request.cap_add,
            cap_drop=request.cap_drop,
            security_opt=request.security_opt,
            ulimit=request.ulimit,
            device=(*request.device, *step.devices),
            privileged=step.security == "insecure",
        )
        confined = confine(options, asked)
        # The Dockerfile chooses who a RUN is, root included, so su and sudo give it nothing new.
        if not any("no-new-privileges" in each for each in request.security_opt):
            confined = confined._replace(no_new_privileges=False)
        return confined

    def _shared(self, backend: Backend) -> tuple[tuple[str, str], ...]:
        """The namespaces of the host that a step is left in."""
        network = () if backend.new_namespace else (("network", "host"),)
        return (*network, ("uts", "host")) if self._engine.host.hostname_loss else network

    def _identity(
        self, place: Place, backend: Backend, network: NetworkRequest
    ) -> tuple[Mount, ...]:
        """/etc/hosts, /etc/hostname and /etc/resolv.conf for the time of the RUN."""
        request = self._request
        attachment = backend.addresses(network)
        texts = {
            "hostname": names.hostname(self._hostname),
            "resolv.conf": names.resolv_conf(
                host=names.parse_resolver(files.text_or_empty("/etc/resolv.conf")),
                nameservers=attachment.nameservers,
                dns=request.dns,
                dns_search=request.dns_search,
                dns_options=request.dns_option,
                own_loopback=not backend.new_namespace,
            ),
            "hosts": names.hosts(
                hostname=self._hostname,
                addresses=tuple(each for each in (attachment.address, attachment.address6) if each),
                host_address=attachment.host_address,
                extra=tuple(names.parse_extra_host(each) for each in request.add_host),
                base=None if backend.new_namespace else files.text_or_empty("/etc/hosts"),
            ),
        }
        if request.dns == names.NO_RESOLVERS:
            del texts["resolv.conf"]
        mounts = []
        for name, text in texts.items():
            path = f"{place.bundle}/{name}"
            files.write_atomic(path, text.encode(), durable=False)
            os.chmod(path, 0o644)
            mounts.append(Mount("bind", path, f"/etc/{name}", ("rbind", "rprivate")))
        return tuple(mounts)


def _volume(text: str) -> Mount:
    """``SOURCE:TARGET[:OPTIONS]``: a directory of the caller, shown to every RUN."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/"):
        raise InvalidRequest(f"--volume {text} is not /SOURCE:/TARGET[:OPTIONS]")
    words = tuple(each for each in options.split(",") if each and each not in ("z", "Z", "rw"))
    return Mount("bind", source, target, ("rbind", *words))
