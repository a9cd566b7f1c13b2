"""A LaunchPlan in words.  Pure."""

from __future__ import annotations

from rootless.kernel import namespace
from rootless.kernel.landlock import EXECUTE, REFER
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.runtime.emulation import Emulation
    from rootless.runtime.plan import LaunchPlan, ProcessPlan
    from rootless.userns.idmap import IdRange


def explain(plan: LaunchPlan) -> list[str]:
    """The plan in words, one line a step, in the order of events."""
    lines = [f"join the {kind} namespace {path}" for kind, path in plan.join]
    if plan.id_map is not None:
        lines.append("new user namespace")
        lines += _explain_ids("uid", plan.id_map.uids) + _explain_ids("gid", plan.id_map.gids)
    flags = plan.unshare | plan.unshare_late
    lines += [f"new {kind} namespace" for kind, flag in namespace.FLAGS.items() if flags & flag]
    lines += [str(operation) for operation in plan.operations]
    if plan.emulation is not None:
        lines += _explain_emulation(plan.emulation)
    return lines + _explain_process(plan.process)


def _explain_emulation(emulation: Emulation) -> list[str]:
    how = "record owners beside the files" if emulation.ask else "record nothing"
    lines = [f"answer chown, setuid and the like, because there is one id (single-id): {how}"]
    if emulation.mark:
        uid, gid = emulation.first.ruid, emulation.first.rgid
        lines.append(f"let the program believe that it is {uid}:{gid}")
    return lines


def _explain_ids(kind: str, ranges: tuple[IdRange, ...]) -> list[str]:
    return [
        f"map {kind} {each.inside} to {each.outside} of the host ({each.size} ids)"
        for each in ranges
    ]


def _explain_process(process: ProcessPlan) -> list[str]:
    from rootless.kernel.capability import NAMES

    names = NAMES.split()
    kept = [name for number, name in enumerate(names) if process.effective >> number & 1]
    lines = [
        "start a session of its own" + (" on the terminal" if process.terminal else ""),
        f"become {process.uid}:{process.gid}",
        f"work in {process.cwd}",
    ]
    if process.no_new_privileges:
        lines.append("set no_new_privs")
    if process.landlock:
        what = "execution" if process.landlock == EXECUTE | REFER else "all file access"
        lines.append(f"restrict {what} to the container's root (Landlock)")
    lines.append("keep the capabilities " + (", ".join(kept) or "none"))
    if process.filter:
        lines.append(f"load a seccomp filter of {len(process.filter) // 8} instructions")
    return [
        *lines,
        "execute " + " ".join(process.args) + (" below an init" if process.init else ""),
    ]
