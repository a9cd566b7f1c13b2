"""The options that loosen or tighten a container, checked against this host and put into effect.

Imported only when one of them was given.
"""

from __future__ import annotations

import os
from stat import S_ISBLK, S_ISCHR, S_ISDIR

from rootless.errors import HostLacks, InvalidRequest, NotFound
from rootless.kernel import landlock
from rootless.runtime import parameters, rights
from rootless.runtime.generate import MASKED_PATHS, NAMESPACES, READ_ONLY_PATHS
from rootless.runtime.options import Mount
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.requests import RunRequest
    from rootless.runtime.options import ContainerOptions
    from rootless.runtime.parameters import Device

# Directories of /dev that a container has of its own, and terminals, which are somebody's.
_OWN_DEVICES = (
    "pts",
    "shm",
    "mqueue",
    "console",
    "ptmx",
    "fd",
    "stdin",
    "stdout",
    "stderr",
    "core",
)


def confine(options: ContainerOptions, request: RunRequest) -> ContainerOptions:
    """What the options make of a container.

    Raises InvalidRequest, Unsupported and HostLacks before anything exists: nothing that was asked to
    be enforced is left out in silence.
    """
    chosen = rights.parse_security_options(request.security_opt, privileged=request.privileged)
    masked, read_only = rights.effective_paths(
        chosen,
        MASKED_PATHS if options.masked_paths is None else options.masked_paths,
        READ_ONLY_PATHS if options.read_only_paths is None else options.read_only_paths,
    )
    shared = {kind for kind, where in options.namespaces if where}
    own = frozenset(NAMESPACES) - shared
    devices = [parameters.parse_device(text) for text in request.device]
    if request.privileged:
        devices = [*_every_device(), *devices]
    return options._replace(
        capabilities=rights.capability_set(
            request.cap_add, request.cap_drop, privileged=request.privileged
        ),
        no_new_privileges=chosen.no_new_privileges,
        seccomp=_profile(chosen.seccomp),
        landlock=_landlock(chosen.landlock),
        masked_paths=masked,
        read_only_paths=read_only,
        proc_options=chosen.proc_options,
        cgroup_writable=chosen.cgroup_writable,
        sys_writable=request.privileged,
        sysctls=tuple(parameters.parse_sysctl(text, own) for text in request.sysctl),
        rlimits=parameters.parse_ulimits(request.ulimit, _own_limits()) if request.ulimit else (),
        devices=tuple(map(_device_mount, devices)),
    )


def _profile(seccomp: str) -> str:
    if seccomp in ("default", "unconfined"):
        return seccomp
    path = os.path.abspath(seccomp)
    if not os.path.isfile(path):
        raise NotFound(f"no seccomp profile {seccomp}")
    return path


def _landlock(mode: str | None) -> str:
    if mode in (None, "off"):
        return mode or ""
    if not landlock.rights_of(landlock.abi()):
        raise HostLacks(
            "this kernel cannot restrict a container by Landlock",
            hint="Linux 5.19 or newer with landlock among the LSMs of its command line",
        )
    return mode or ""


def _own_limits() -> dict[str, tuple[int, int]]:
    import resource

    kinds = (name for name in dir(resource) if name.startswith("RLIMIT_"))
    return {kind: resource.getrlimit(getattr(resource, kind)) for kind in kinds}


def _device_mount(device: Device) -> Mount:
    try:
        mode = os.stat(device.source).st_mode
    except OSError as error:
        raise NotFound(f"no device {device.source}: {error.strerror}") from None
    if not (S_ISCHR(mode) or S_ISBLK(mode) or S_ISDIR(mode)):
        raise InvalidRequest(f"{device.source} is not a device")
    return Mount("bind", device.source, device.target, ("rbind", "rprivate", "nosuid", "noexec"))


def _every_device() -> list[Device]:
    """What of /dev the caller may open: --privileged opens no door that was closed to them."""
    found = []
    with os.scandir("/dev") as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name in _OWN_DEVICES or entry.name.startswith("tty") or entry.is_symlink():
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            usable = os.access(entry.path, os.R_OK) or os.access(entry.path, os.W_OK)
            if usable and (S_ISCHR(mode) or S_ISBLK(mode) or S_ISDIR(mode)):
                found.append(parameters.Device(entry.path, entry.path))
    return found
