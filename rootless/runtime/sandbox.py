"""HOST SIDE: run one program in a root filesystem and wait for it - what a build step needs.

The same plan, launch and stage as ``run``, without a container on disk.
"""

from __future__ import annotations

import os

from rootless.runtime import launch, supervise
from rootless.runtime.generate import generate
from rootless.runtime.plan import Kernel, LaunchPlan, plan_launch
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs import Rootfs
    from rootless.runtime.cgroup import Cgroup
    from rootless.runtime.emulation import Emulation
    from rootless.runtime.options import ContainerOptions
    from rootless.userns.idmap import IdMap


class Surroundings(NamedTuple):
    """What of the host a launch uses: facts, the compiled filter, and hooks for the first process."""

    id_map: IdMap
    kernel: Kernel
    filter: bytes = b""
    emulation: Emulation | None = None
    cgroup: Cgroup | None = None
    attach_network: Callable[[int], None] | None = None


def plan(
    options: ContainerOptions, rootfs: Rootfs, surroundings: Surroundings, *, bundle: str
) -> LaunchPlan:
    """The launch that ``run`` would perform; ``bundle`` is where the root is mounted."""
    target = f"{bundle}/rootfs"
    os.makedirs(target, mode=0o700, exist_ok=True)
    spec = generate(
        options,
        surroundings.id_map,
        rootfs_path=target,
        new_sysctls=surroundings.kernel.new_sysctls,
    )
    return plan_launch(
        spec,
        rootfs,
        surroundings.id_map,
        surroundings.kernel,
        filter=surroundings.filter,
        landlock=options.landlock,
        preserve_fds=options.preserve_fds,
        init=options.init,
        emulation=surroundings.emulation,
    )


def run(
    options: ContainerOptions,
    rootfs: Rootfs,
    surroundings: Surroundings,
    *,
    bundle: str,
    stdio: tuple[int, int, int] = (0, 1, 2),
) -> int:
    """Run the program to its end; its exit code (128+n for signal n).

    ``bundle`` is a directory of the caller's in which ``rootfs`` is mounted, in the container's own
    mount namespace.  Raises LaunchFailed.
    """
    created = launch.create(
        plan(options, rootfs, surroundings, bundle=bundle),
        stdio,
        cgroup=surroundings.cgroup,
        attach=surroundings.attach_network,
    )
    try:
        launch.start(created)
        code = supervise.wait(created.pid, forward=False)
    except BaseException:
        launch.kill(created.pid)
        raise
    finally:
        launch.end_supervisor(created.supervisor)
    return code
