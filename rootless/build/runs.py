"""RUN as a step: heredocs become arguments, mounts get their defaults.  Pure."""

from __future__ import annotations

import posixpath
import re

from rootless.build.steps import SCRATCH, RunMount, RunStep, Tree
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.dockerfile.instructions import Mount, Run

PIPES = "/dev/pipes"  # where BuildKit shows inline scripts; part of what a script sees as $0
_LONE_HEREDOC = r"""\d*<<-?\s*(?:"[^"]*"|'[^']*'|[^\s"'<]+)"""


def run_step(
    run: Run,
    *,
    shell: tuple[str, ...],
    env: tuple[str, ...],
    cwd: str,
    user: str,
    find_tree: Callable[[str], Tree],
) -> RunStep:
    """The step for an expanded RUN."""
    args, script = _program(run, shell)
    mounts: list[RunMount] = []
    for mount in run.mounts:
        sockets = sum(each.type == "ssh" for each in mounts)
        mounts.append(_mount(mount, cwd=cwd, sockets=sockets, find_tree=find_tree))
    return RunStep(
        title=run.origin.source,
        line=run.origin.line,
        args=args,
        env=_with_agent(env, mounts),
        cwd=cwd,
        user=user,
        mounts=tuple(mounts),
        network=run.network,
        security=run.security,
        devices=tuple(
            f"{device.name}{',required' if device.required else ''}" for device in run.devices
        ),
        script=script,
    )


def _program(run: Run, shell: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    if not run.shell:
        return run.command, None
    text = " ".join(run.command)
    if not run.heredocs:
        return (*shell, text), None
    if len(run.heredocs) == 1 and re.fullmatch(_LONE_HEREDOC, text.strip()):
        document = run.heredocs[0]
        if document.text.startswith("#!"):
            # BuildKit gives the path to the shell as its command; the kernel reads the "#!".
            return (*shell, f"{PIPES}/{document.name}"), (document.name, document.text)
        return (*shell, document.text), None
    # The shell reads the others itself, so it gets them back as they were written.
    parts = [text, *(f"{each.content}{each.name}" for each in run.heredocs)]
    return (*shell, "\n".join(parts)), None


def _with_agent(env: tuple[str, ...], mounts: list[RunMount]) -> tuple[str, ...]:
    agents = [mount.target for mount in mounts if mount.type == "ssh"]
    if not agents or any(each.startswith("SSH_AUTH_SOCK=") for each in env):
        return env
    return (*env, f"SSH_AUTH_SOCK={agents[0]}")


def _mount(mount: Mount, *, cwd: str, sockets: int, find_tree: Callable[[str], Tree]) -> RunMount:
    """``sockets`` is how many ssh mounts came before."""
    match mount.type:
        case "secret":
            return _secret(mount, cwd)
        case "ssh":
            return RunMount(
                "ssh",
                _target(mount, cwd) if mount.target else f"/run/buildkit/ssh_agent.{sockets}",
                id=mount.id or "default",
                required=mount.required,
                mode=0o600 if mount.mode is None else mount.mode,
                uid=mount.uid or 0,
                gid=mount.gid or 0,
            )
        case "tmpfs":
            return RunMount("tmpfs", _target(mount, cwd), size_bytes=mount.size_bytes)
        case "cache":
            return RunMount(
                "cache",
                _target(mount, cwd),
                tree=find_tree(mount.from_name) if mount.from_name else SCRATCH,
                source=_source(mount),
                read_only=mount.read_only,
                id=mount.id or posixpath.normpath(mount.target),
                sharing=mount.sharing or "shared",
                mode=0o755 if mount.mode is None else mount.mode,
                uid=mount.uid or 0,
                gid=mount.gid or 0,
            )
        case "bind":
            return RunMount(
                "bind",
                _target(mount, cwd),
                tree=find_tree(mount.from_name),
                source=_source(mount),
                read_only=mount.read_only,
            )
        case _:
            raise InvalidRequest(f"RUN --mount: {mount.type!r} is not a type of mount")


def _secret(mount: Mount, cwd: str) -> RunMount:
    name = mount.source or mount.id or posixpath.basename(mount.target)
    if not name:
        raise InvalidRequest("RUN --mount=type=secret needs an id or a target")
    target = _target(mount, cwd) if mount.target else ""
    if not target and mount.env is None:
        target = f"/run/secrets/{posixpath.basename(name)}"
    return RunMount(
        "secret",
        target,
        id=name,
        required=mount.required,
        env=mount.env or "",
        mode=0o400 if mount.mode is None else mount.mode,
        uid=mount.uid or 0,
        gid=mount.gid or 0,
    )


def _source(mount: Mount) -> str:
    return posixpath.normpath(posixpath.join("/", mount.source)).replace("//", "/")


def _target(mount: Mount, cwd: str) -> str:
    if not mount.target:
        raise InvalidRequest(f"RUN --mount=type={mount.type} needs a target")
    target = posixpath.normpath(posixpath.join("/", cwd, mount.target)).replace("//", "/")
    if target == "/":
        raise InvalidRequest("RUN --mount cannot replace the whole root filesystem")
    return target
