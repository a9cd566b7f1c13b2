"""Mounts that few containers have, to operations.  Pure; imported where there is one of them."""

from __future__ import annotations

from rootless.runtime.mount_operations import (
    COPY,
    BindBelow,
    ChangeOwner,
    CopyAnew,
    OverlayInside,
    Secret,
    ShowSecrets,
)
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.runtime.operations import BindMount, Operation


def secrets(target: str, options: list[str]) -> Operation:
    """``secrets=DIRECTORY`` and for each file in it ``secret=MODE:UID:GID:FILE:NAME``."""
    pairs = [option.partition("=")[::2] for option in options]
    found = []
    for key, value in pairs:
        if key == "secret":
            mode, uid, gid, file, name = value.split(":", 4)
            found.append(Secret(file, name, int(mode, 8), int(uid), int(gid)))
    return ShowSecrets(dict(pairs)["secrets"], target, tuple(found))


def bind_part(plain: BindMount, ours: dict[str, str]) -> list[Operation]:
    """What few bind mounts have: a fresh copy or another owner first, and only a part of the source."""
    subpath = ours.get("subpath", "")
    steps: list[Operation] = []
    if "fresh" in ours:
        steps.append(CopyAnew(plain.source, ours["fresh"]))
        plain = plain._replace(source=ours["fresh"])
        subpath = f"{COPY}/{subpath}" if subpath else COPY
    if "chown" in ours:
        steps.append(_change_owner(plain.source, subpath, ours["chown"]))
    if not subpath:
        return [*steps, plain]
    part = BindBelow(
        plain.source,
        subpath,
        plain.target,
        plain.attributes,
        recursive=plain.recursive,
        recursive_attributes=plain.recursive_attributes,
        propagation=plain.propagation,
    )
    return [*steps, part]


def overlay(target: str, options: list[str], attributes: int) -> list[Operation]:
    """overlayfs's words, each layer in an option of its own, and ``fresh=``, ``subpath=`` and ``chown=``."""
    pairs = [option.partition("=")[::2] for option in options]
    given = dict(pairs)
    stacked = OverlayInside(
        tuple(value for key, value in pairs if key == "lowerdir"),
        target,
        upper=given.get("upperdir", ""),
        work=given.get("workdir", ""),
        fresh=given.get("fresh", ""),
        subpath=given.get("subpath", ""),
        attributes=attributes,
    )
    if "chown" in given:
        return [_change_owner(stacked.lower[0], stacked.subpath, given["chown"]), stacked]
    return [stacked]


def _change_owner(source: str, subpath: str, owner: str) -> Operation:
    uid, _, gid = owner.partition(":")
    return ChangeOwner(source, subpath, int(uid), int(gid))
