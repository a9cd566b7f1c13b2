"""The flags about rights, namespaces and kernel parameters, as fields of ContainerOptions."""

from __future__ import annotations

import os

from rootless.errors import HostLacks, InvalidRequest, NotFound, Unsupported
from rootless.runtime import container as store
from rootless.runtime.options import Mount
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest

# Each flag with the namespace it is about; cgroupns spells its kind differently.
_NAMESPACE_FLAGS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroupns": "cgroup"}


def namespaces(engine: Engine, request: RunRequest) -> dict[str, str]:
    """What ``--pid``, ``--ipc``, ``--uts``, ``--cgroupns`` and ``--network`` say, kind to place.

    A place is ``host`` or a file; a namespace of another container brings its user namespace, without
    which it could not be entered.  Raises NotFound, Conflict, InvalidRequest.
    """
    chosen: dict[str, str] = {}
    for flag, kind in _NAMESPACE_FLAGS.items():
        chosen |= _namespace(engine, kind, getattr(request, flag) or "", f"--{flag}")
    if request.network and request.network[0].startswith(("container:", "ns:")):
        chosen |= _namespace(engine, "network", request.network[0], "--network")
    return chosen


def _namespace(engine: Engine, kind: str, value: str, flag: str) -> dict[str, str]:
    mode, _, rest = value.partition(":")
    match mode:
        case "" | "private" | "shareable":
            return {}
        case "none" if kind == "ipc":
            return {}
        case "host":
            return {kind: "host"}
        case "container":
            return of_container(engine, kind, rest)
        case "ns" if rest.startswith("/"):
            return _of_file(kind, rest)
    raise InvalidRequest(
        f"invalid value {value!r} of {flag}", hint="private, host, container:NAME or ns:PATH"
    )


def _of_file(kind: str, path: str) -> dict[str, str]:
    """The namespace of a file; that of a process brings the user namespace which it belongs to."""
    from rootless.kernel import namespace

    try:
        owner = namespace.owner(path)
    except FileNotFoundError:
        raise NotFound(f"no namespace file {path}") from None
    except OSError as error:
        raise InvalidRequest(f"cannot enter the namespace {path}: {error.strerror}") from None
    if os.path.samefile(path, f"/proc/self/ns/{namespace.FILES.get(kind, kind)}"):
        return {kind: "host"}
    beside = f"{os.path.dirname(path)}/user"
    if os.path.exists(beside) and os.stat(beside).st_ino == owner:
        return {"user": beside, kind: path}
    return {kind: path}


def of_container(engine: Engine, kind: str, name: str) -> dict[str, str]:
    """The files to join for one namespace of a running container, after its user namespace."""
    container = store.find(engine.paths, name)
    state = container.running()
    from rootless.kernel.namespace import FILES

    place = f"/proc/{store.process_to_join(state['pid'])}/ns"
    return {"user": f"{place}/user", kind: f"{place}/{FILES.get(kind, kind)}"}


def time_zone(request: RunRequest) -> tuple[Mount, ...]:
    """``--tz``: a zone of the host's database, or ``local``, shown as /etc/localtime."""
    if request.tz is None:
        return ()
    if request.tz == "local":
        return (Mount("bind", os.path.realpath("/etc/localtime"), "/etc/localtime", ("ro",)),)
    path = os.path.normpath(f"/usr/share/zoneinfo/{request.tz}")
    if not path.startswith("/usr/share/zoneinfo/") or not os.path.isfile(path):
        raise NotFound(
            f"no time zone {request.tz!r}", hint="a name such as Europe/Berlin, or local"
        )
    return (Mount("bind", path, "/etc/localtime", ("ro",)),)


def read_only_scratch(request: RunRequest) -> tuple[Mount, ...]:
    """With ``--read-only`` the usual places for temporary files stay writable, as in podman."""
    if not (request.read_only and request.read_only_tmpfs):
        return ()
    taken = {each.target for each in (*request.volume, *request.mount, *request.tmpfs)}
    return tuple(
        Mount("tmpfs", "tmpfs", path, ("nosuid", "nodev", "mode=1777", "copy-up"))
        for path in ("/run", "/tmp", "/var/tmp")
        if path not in taken
    )


def check_hostname(request: RunRequest, chosen: dict[str, str], loss: str) -> None:
    """A host name needs a UTS namespace of the container's own, and the right to set it."""
    if loss and not chosen.get("uts"):
        if request.hostname or request.domainname:
            raise HostLacks(
                f"cannot give the container a host name: {loss.lower()}", hint="rootless doctor"
            )
        chosen["uts"] = "host"
    if request.hostname and chosen.get("uts"):
        raise Unsupported("--hostname and a shared UTS namespace exclude each other")


_NOTIFY_TARGET = "/run/notify/notify.sock"  # as podman has it
NOTIFY_VARIABLE = f"NOTIFY_SOCKET={_NOTIFY_TARGET}"


def notifies(request: RunRequest) -> bool:
    """Whether the program is to tell the caller's service manager that it is ready (sd_notify(3))."""
    return request.sdnotify == "container" and bool(os.environ.get("NOTIFY_SOCKET"))


def notify_mounts(request: RunRequest, run_directory: str) -> tuple[Mount, ...]:
    """The socket for that, which the monitor makes before it launches."""
    if not notifies(request):
        return ()
    source = f"{run_directory}/notify.sock"
    return (Mount("bind", source, _NOTIFY_TARGET, ("bind", "rprivate")),)
