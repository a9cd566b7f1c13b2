"""The identity of a step: its parent, its own fields and the digests of its inputs.  Pure.

Nothing else takes part: no times, no names of stages, no progress texts, no secrets.  The parts of an
identity are kept with the cache's records, so that a miss can say what differs.
"""

from __future__ import annotations

import json

from rootless.build.steps import CopyStep, RunStep, Step, TreeFiles, WorkdirStep
from rootless.image.digest import Digest, digest_of
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMAT = "1"  # a change of what steps do to the file system changes every key


def step_parts(
    step: Step,
    parent: str,
    inputs: Sequence[str] = (),
    *,
    timestamp: int | None = None,
    limits: Sequence[str] = (),
) -> dict[str, str]:
    """What makes the step what it is, by name.

    ``parent`` is the chain ID below it ("" on nothing).  ``inputs`` are the digests of what its mounts
    (RUN) or sources (COPY, ADD) read, in their order; "" for those that read nothing.  ``limits`` are
    flags of the build that programs can notice.
    """
    parts = {"format": _FORMAT, "parent": "" if stands_alone(step) else parent}
    if timestamp is not None:
        parts["timestamp"] = str(timestamp)
    match step:
        case RunStep():
            parts |= _run_parts(step, inputs)
            if limits:
                parts["limits"] = " ".join(limits)
        case CopyStep():
            parts |= _copy_parts(step, inputs)
        case WorkdirStep(path=path, user=user):
            parts |= {"make directory": path, "user": user}
    return parts


def step_key(parts: Mapping[str, str]) -> Digest:
    """The cache key of a step with these parts."""
    return digest_of(json.dumps(sorted(parts.items()), separators=(",", ":")).encode())


def slot_key(step: Step) -> Digest:
    """What stays the same when the inputs of a step change: where to look for why it missed."""
    return digest_of(json.dumps([type(step).__name__, step.title]).encode())


def stands_alone(step: Step) -> bool:
    """Whether the layer is the same on any parent: COPY --link, unless it looks names up there."""
    if not isinstance(step, CopyStep) or not step.link:
        return False
    return all(part.isdigit() for part in step.chown.split(":") if part)


def _run_parts(step: RunStep, inputs: Sequence[str]) -> dict[str, str]:
    parts = {
        "command": json.dumps(step.args),
        "working directory": step.cwd,
        "user": step.user,
        "network": step.network,
        "security": step.security,
        "devices": json.dumps(step.devices),
    }
    if step.script is not None:
        parts["script"] = json.dumps(step.script)
    for each in step.env:
        name, _, value = each.partition("=")
        parts[f"variable {name}"] = value
    for index, mount in enumerate(step.mounts):
        fields = {**mount._asdict(), "tree": ""}  # what the tree holds is the input, not its name
        if (
            mount.type == "cache"
        ):  # whose contents it is and who may use it meanwhile is in no layer
            fields |= {"id": "", "sharing": ""}
        parts[f"mount {index}"] = json.dumps(fields, sort_keys=True)
        parts[f"content of mount {index} on {mount.target}"] = _at(inputs, index)
    return parts


def _copy_parts(step: CopyStep, inputs: Sequence[str]) -> dict[str, str]:
    parts = {
        "target": step.target,
        "owner": step.chown,
        "mode": step.chmod,
        "flags": json.dumps([step.link, step.parents, step.excludes]),
    }
    for index, source in enumerate(step.sources):
        fields = {name: value for name, value in source._asdict().items() if name != "tree"}
        if isinstance(source, TreeFiles) and not step.parents:  # there "/./" has a meaning
            fields["patterns"] = [_tidy(each) for each in source.patterns]
        parts[f"source {index}"] = json.dumps([type(source).__name__, fields], sort_keys=True)
        parts[f"content of source {index}"] = _at(inputs, index)
    return parts


def _tidy(pattern: str) -> str:
    """``./a//b/`` is ``a/b``."""
    return "/".join(part for part in pattern.split("/") if part not in ("", "."))


def _at(inputs: Sequence[str], index: int) -> str:
    return inputs[index] if index < len(inputs) else ""


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names of the parts that differ, the ones that explain most first."""
    names = [name for name in (*after, *before) if before.get(name) != after.get(name)]
    ordered = dict.fromkeys(names)
    return sorted(ordered, key=lambda name: name == "parent")
