"""``update``: other limits and another restart policy for a container, running or not."""

from __future__ import annotations

import os

from rootless.engine.limits import limits_of
from rootless.engine.options import LIMITING
from rootless.engine.requests import RunRequest
from rootless.errors import HostLacks, InvalidRequest
from rootless.runtime import container as store
from rootless.runtime.cgroup import Cgroup, Limit, hand_down
from rootless.runtime.journal import note_container
from rootless.runtime.restart import parse_policy
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.runtime.container import Container

# Ways to say the same: a new one takes the place of the old ones.
_ALTERNATIVES = (("cpus", "cpu_quota", "cpu_period"),)


def update(engine: Engine, name: str, changes: dict[str, Any]) -> str:
    """Change what ``changes`` names - fields of RunRequest - now and for later starts; the full id.

    Raises NotFound, InvalidRequest, and HostLacks for a limit that cannot be enforced on the running
    container; then nothing has changed.
    """
    container = store.find(engine.paths, name)
    settings = dict(container.record["settings"])
    restart = changes.pop("restart", None)
    if restart is not None:
        parse_policy(restart)
        if container.record["auto_remove"] and restart not in ("no", "never"):
            raise InvalidRequest("--restart and --rm exclude each other")
        settings["restart"] = restart
    _merge(settings, changes)
    limits = limits_of(_request(settings))
    known = {tuple(each) for each in container.record["launch"].get("limits", ())}
    fresh = tuple(each for each in limits if tuple(each) not in known)
    _apply(container, fresh)
    launch = {**container.record["launch"], "limits": [list(each) for each in limits]}
    store.update_record(container, {"settings": settings, "launch": launch})
    note_container(engine.paths, container.record, "update")
    return container.id


def _merge(settings: dict[str, Any], changes: dict[str, Any]) -> None:
    for group in _ALTERNATIVES:
        if any(field in changes for field in group):
            for field in group:
                settings.pop(field, None)
    for field, value in changes.items():
        if field == "cgroup_conf":
            files = {text.partition("=")[0] for text in value}
            kept = [e for e in settings.get(field, ()) if e.partition("=")[0] not in files]
            settings[field] = [*kept, *value]
        else:
            settings[field] = value
    if "memory" in changes and "memory_swap" not in changes:
        swap = settings.get("memory_swap")
        if swap is not None and swap != -1 and swap < changes["memory"]:
            settings.pop("memory_swap")


def _request(settings: dict[str, Any]) -> RunRequest:
    fields: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in settings.items()
        if field in LIMITING
    }
    return RunRequest(image="", **fields)


def _apply(container: Container, limits: tuple[Limit, ...]) -> None:
    """On the running container, if it runs."""
    state = container.state()
    if state is None or "pid" not in state or not limits:
        return
    path = state.get("cgroup")
    if not path:
        raise HostLacks(
            f"container {container.name} runs in no cgroup of its own: {limits[0].flag} can be"
            " set once it has stopped",
            hint=f"rootless stop {container.name}",
        )
    hand_down(os.path.dirname(path), limits)
    Cgroup(path).limit(limits)
